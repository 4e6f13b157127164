"""The programs of the stack, each started separately."""

from pathlib import Path

import aiohttp
import orjson

from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.ports import free_port
from tests.support.programs import Program

TOKEN = {"X-Rinha-Token": "123"}


class Gateway(Program):
    """A gateway on a free port."""

    def __init__(self, nats_url: str, folder: Path, **env: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            [str(BIN / "gateway"), "run"],
            log=folder / f"gateway-{self.port}.log",
            env={"NATS_URL": nats_url, "GATEWAY_PORT": str(self.port), "GATEWAY_UDS": "", **env},
        )

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Waits until it accepts payments."""
        await eventually(lambda: _answers(session, f"{self.url}/readyz", 204, 200), what=f"{self.log}: ready")


class Simulator(Program):
    """A simulated provider on a free port."""

    def __init__(self, name: str, folder: Path, **env: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        fee = "0.05" if name == "default" else "0.15"
        command = [str(BIN / "simulator"), "--port", str(self.port), "--fee", fee, "--name", name, "--seed", "1"]
        super().__init__(command, log=folder / f"simulator-{name}.log", env=env)

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Waits until it accepts requests."""
        nobody = f"{self.url}/payments/00000000-0000-0000-0000-000000000000"
        await eventually(lambda: _answers(session, nobody, 404), what=f"{self.log}: ready")

    async def switch(self, session: aiohttp.ClientSession, path: str, **fields: object) -> None:
        """PUT /admin/<path>: a delay, a failure, or faults."""
        async with session.put(f"{self.url}/admin/{path}", json=fields, headers=TOKEN) as response:
            assert response.status in (200, 204), await response.text()

    async def stats(self, session: aiohttp.ClientSession) -> dict[str, int]:
        """Its counts since its start."""
        async with session.get(f"{self.url}/admin/stats", headers=TOKEN) as response:
            stats: dict[str, int] = await response.json()
            return stats

    async def book(self, session: aiohttp.ClientSession) -> dict[str, dict[str, object]]:
        """Its records by correlationId."""
        async with session.get(f"{self.url}/admin/payments", headers=TOKEN) as response:
            records = [orjson.loads(line) for line in (await response.read()).splitlines()]
        return {record["correlationId"]: record for record in records}


class Processor(Program):
    """A processor replica."""

    def __init__(
        self, nats_url: str, folder: Path, *, default: str, fallback: str, name: str = "1", **env: str
    ) -> None:
        super().__init__(
            [str(BIN / "processor"), "run"],
            log=folder / f"processor-{name}.log",
            env={
                "NATS_URL": nats_url,
                "PAYMENT_PROCESSOR_URL_DEFAULT": default,
                "PAYMENT_PROCESSOR_URL_FALLBACK": fallback,
                **env,
            },
        )


class Projector(Program):
    """The projector, with its read model in `folder`."""

    def __init__(self, nats_url: str, folder: Path, **env: str) -> None:
        self.model_path = folder / "projector" / "model.duckdb"
        super().__init__(
            [str(BIN / "projector"), "run"],
            log=folder / "projector.log",
            env={"NATS_URL": nats_url, "DATA_DIR": str(folder), **env},
        )


async def _answers(session: aiohttp.ClientSession, url: str, *statuses: int) -> bool:
    try:
        async with session.get(url) as response:
            return response.status in statuses
    except aiohttp.ClientError:
        return False
