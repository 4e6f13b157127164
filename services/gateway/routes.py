"""Which path and method leads to which handler: exactly as written, and HEAD wherever GET is."""

from blacksheep import Request
from blacksheep.server.routing import Route, RouteMatch, Router

_METHODS = ("GET", "POST")


class Routes(Router):
    """The framework's router. It answers HEAD as GET, of which uvicorn sends the header alone."""

    def add_exact(self, method: str, path: str, handler: object) -> None:
        """As `add`; but the path with a slash at its end is another one, which is not served."""
        self.add_route(method, _ExactRoute(path, handler))

    def get_match(self, request: Request) -> RouteMatch | None:
        # From here on it is a GET, also for handlers that would set Content-Length to 0. uvicorn knows that it was not.
        if request.method == "HEAD":
            request.method = "GET"
        return super().get_match(request)

    def methods_of(self, path: str) -> str:
        """What is served at the path, as the header Allow lists it; empty where nothing is."""
        methods = [method for method in _METHODS if self.get_matching_route(method, path) is not None]
        return ", ".join("GET, HEAD" if method == "GET" else method for method in methods)


class _ExactRoute(Route):
    def match_by_path(self, path: bytes) -> RouteMatch | None:
        # The framework's patterns end with an optional slash.
        return None if path.endswith(b"/") else super().match_by_path(path)
