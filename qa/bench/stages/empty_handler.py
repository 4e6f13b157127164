"""A server that reads the body of a request and answers 202: the least that a gateway could cost.

python -m qa.bench.stages.empty_handler uvicorn 18000
"""

from collections.abc import Awaitable, Callable
from typing import Any

import click
import uvicorn
from blacksheep import Application, Request, Response

_START = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]}
_BODY = {"type": "http.response.body", "body": b""}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def bare(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An ASGI application without a framework."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_BODY)


def blacksheep() -> Application:
    app = Application()

    async def accept(request: Request) -> Response:
        await request.read()
        return Response(202)

    app.router.add_post("/payments", accept)
    return app


@click.command()
@click.argument("kind", type=click.Choice(["uvicorn", "blacksheep"]))
@click.argument("port", type=int)
def main(kind: str, port: int) -> None:
    """Serves on loopback until a signal."""
    app = bare if kind == "uvicorn" else blacksheep()
    lifespan = "off" if kind == "uvicorn" else "on"
    uvicorn.run(app, port=port, lifespan=lifespan, access_log=False, log_config=None)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
