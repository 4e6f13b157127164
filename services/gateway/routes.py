"""The router: paths match exactly, and HEAD is served wherever GET is."""

from blacksheep import Request
from blacksheep.server.routing import Route, RouteMatch, Router

_METHODS = ("GET", "POST")


class Routes(Router):
    """The framework's router. It serves HEAD as GET; uvicorn sends only the header."""

    def add_exact(self, method: str, path: str, handler: object) -> None:
        """As `add`, but does not match the path with a slash at its end."""
        self.add_route(method, _ExactRoute(path, handler))

    def get_match(self, request: Request) -> RouteMatch | None:
        # From here on it is a GET, so that no handler sets Content-Length to 0. uvicorn keeps the original method.
        if request.method == "HEAD":
            request.method = "GET"
        return super().get_match(request)

    def methods_of(self, path: str) -> str:
        """The methods served at the path, as in the header Allow; empty if there are none."""
        methods = [method for method in _METHODS if self.get_matching_route(method, path) is not None]
        return ", ".join("GET, HEAD" if method == "GET" else method for method in methods)


class _ExactRoute(Route):
    def match_by_path(self, path: bytes) -> RouteMatch | None:
        # The framework's patterns end with an optional slash.
        return None if path.endswith(b"/") else super().match_by_path(path)
