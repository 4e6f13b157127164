"""The real Caddy with the project's Caddyfile."""

from pathlib import Path

import psutil

from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.nats_server import PROJECT
from tests.support.ports import free_port
from tests.support.programs import Program


class Edge(Program):
    """Caddy before one gateway, or two, on these ports. `site` is as in TOLLGATE_SITE."""

    def __init__(
        self, folder: Path, upstream_port: int, other_port: int | None = None, *, site: str | None = None
    ) -> None:
        self.http_port, self.https_port = free_port(), free_port()
        self.root = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        command = [str(BIN / "caddy"), "run", "--config", str(PROJECT / "caddy" / "Caddyfile")]
        super().__init__(
            [*command, "--adapter", "caddyfile"],
            log=folder / "caddy.log",
            env={
                "TOLLGATE_SITE": f":{self.http_port}" if site is None else site,
                "TOLLGATE_HTTP_PORT": str(self.http_port),
                "TOLLGATE_HTTPS_PORT": str(self.https_port),
                "TOLLGATE_UPSTREAM_1": f"127.0.0.1:{upstream_port}",
                "TOLLGATE_UPSTREAM_2": f"127.0.0.1:{upstream_port if other_port is None else other_port}",
                "XDG_DATA_HOME": str(folder / "data"),
                "XDG_CONFIG_HOME": str(folder / "config"),
            },
        )


def ports_of(program: Program) -> set[int]:
    """Its address."""
    found = psutil.Process(program.pid).net_connections(kind="inet")
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}


async def listens(program: Program, port: int) -> None:
    async def is_there() -> bool:
        return port in ports_of(program)

    await eventually(is_there, what=f"{program.log}: listens on {port}")
