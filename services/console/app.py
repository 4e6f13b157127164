"""The console's HTTP: the page, its events, and its questions. Every route reads only."""

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import parse_qs

import orjson
from blacksheep import Application, Content, Cookie, Request, Response, StreamedContent
from blacksheep.cookies import CookieSameSiteMode

from tollgate.console.access import COOKIE, Access
from tollgate.console.errors import UnanswerableError
from tollgate.console.history import SPANS, History
from tollgate.console.pages import Pages, TooManyPagesError
from tollgate.console.questions import Questions

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

STATIC = files("tollgate.console") / "static"
TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}
NAMES = (
    "console.css",
    "console.js",
    "charts.js",
    "format.js",
    "headline.js",
    "icon.svg",
    "questions.js",
    "tiles.js",
    "vendor/uplot.css",
    "vendor/uplot.js",
    "vendor/uplot-LICENSE.txt",
)
SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
        b" connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
COOKIE_SECONDS = 86_400 * 30


class Handlers:
    """The handlers, with the parts that answer them."""

    def __init__(self, pages: Pages, history: History, questions: Questions, access: Access) -> None:
        self._pages = pages
        self._history = history
        self._questions = questions
        self._access = access

    async def get_page(self, request: Request) -> Response:
        """The page. With `?token=` it sets the cookie and leaves the token out of the address."""
        if self._access.is_token(_query(request).get("token")):
            response = Response(303, [(b"location", b"/")])
            response.set_cookie(
                Cookie(
                    COOKIE,
                    self._access.token,
                    http_only=True,
                    same_site=CookieSameSiteMode.STRICT,
                    max_age=COOKIE_SECONDS,
                    path="/",
                )
            )
            return response
        self.check(request)
        return _static("index.html")

    async def get_events(self, request: Request) -> Response:
        """Server-sent events: one message a second while the page is open."""
        if self._pages.is_full:
            raise UnanswerableError(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")

        async def events() -> AsyncIterator[bytes]:
            try:
                with self._pages.page():
                    async for message in self._pages.messages():
                        if await request.is_disconnected():
                            return
                        yield b"data: " + message + b"\n\n"
            except TooManyPagesError as error:
                yield b"event: refused\ndata: " + str(error).encode() + b"\n\n"

        return Response(200, list(SECURITY_HEADERS), StreamedContent(b"text/event-stream", events))

    async def get_history(self, request: Request) -> Response:
        span = _query(request).get("span", "5m")
        if span not in SPANS:
            raise UnanswerableError(HTTPStatus.BAD_REQUEST, f"span must be one of {', '.join(SPANS)}")
        return _json(orjson.dumps(self._history.series[span].columns()))

    async def get_payment(self, request: Request) -> Response:
        return _json(await self._questions.payment((request.route_values or {}).get("correlation_id") or ""))

    async def get_summary(self, request: Request) -> Response:
        return _json(await self._questions.summary(_query(request)))

    async def get_livez(self, _: Request) -> Response:
        return Response(204)

    def check(self, request: Request) -> None:
        """Raises UnanswerableError (403) for a request that may not read."""
        host = (request.headers.get_first(b"host") or b"").decode("latin-1")
        authorization = request.headers.get_first(b"authorization")
        if not self._access.allows(
            host, request.get_cookie(COOKIE), None if authorization is None else authorization.decode("latin-1")
        ):
            raise UnanswerableError(HTTPStatus.FORBIDDEN, "open this page once as /?token=… with the console's token")


def create_app(handlers: Handlers) -> Application:
    """The application with every route. BlackSheep answers what is none of them with 404."""
    app = Application(show_error_details=False)
    open_routes: tuple[tuple[str, Handler], ...] = (("/", handlers.get_page), ("/livez", handlers.get_livez))
    routes: tuple[tuple[str, Handler], ...] = (
        ("/events", handlers.get_events),
        ("/api/history", handlers.get_history),
        ("/api/payments/{correlation_id}", handlers.get_payment),
        ("/api/summary", handlers.get_summary),
        *((f"/{name}", _serves(name)) for name in NAMES),
    )
    for path, handler in open_routes:
        app.router.add_get(path, _guarded(handler))
    for path, handler in routes:
        app.router.add_get(path, _guarded(_checked(handlers, handler)))
    return app


def _serves(name: str) -> Handler:
    async def serve(_: Request) -> Response:
        return _static(name)

    return serve


def _checked(handlers: Handlers, handler: Handler) -> Handler:
    async def checked(request: Request) -> Response:
        handlers.check(request)
        return await handler(request)

    return checked


def _guarded(handler: Handler) -> Handler:
    """Answers an UnanswerableError with its status, and any other exception with a 500 that reveals nothing."""

    @functools.wraps(handler)
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except UnanswerableError as error:
            return _json(orjson.dumps({"detail": error.detail}), status=error.status)
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            return _json(b'{"detail":"the console failed; see its program log"}', status=500)

    return guarded


@functools.cache
def _content(name: str) -> bytes:
    return STATIC.joinpath(name).read_bytes()


def _static(name: str) -> Response:
    suffix = name[name.rindex(".") :]
    return Response(200, list(SECURITY_HEADERS), Content(TYPES[suffix], _content(name)))


def _query(request: Request) -> dict[str, str]:
    text = (request.url.query or b"").decode("ascii", "replace")
    try:
        fields = parse_qs(text, max_num_fields=8)
    except ValueError:
        raise UnanswerableError(HTTPStatus.BAD_REQUEST, "there are too many parameters") from None
    return {name: values[-1] for name, values in fields.items()}


def _json(body: bytes, *, status: int = 200) -> Response:
    return Response(status, list(SECURITY_HEADERS), Content(b"application/json", body))
