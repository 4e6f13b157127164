"""A real Prometheus with the project's files, on a stack of a test."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp

from tests.support.conditions import eventually
from tests.support.ports import free_port
from tests.support.stack import Stack
from tollgate.stack.programs import MEASURED

MONITORING = Path(__file__).parents[2] / "monitoring"
PROMETHEUS = shutil.which("prometheus")
SECONDS_MAX = 90
_FURTHER = "further.json"


class Prometheus:
    """Asks a running Prometheus, whose files are in `folder`."""

    def __init__(self, url: str, folder: Path, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._folder = folder
        self._session = session

    async def values(self, expression: str) -> list[float]:
        """The present values of an expression."""
        async with self._session.get(f"{self._url}/api/v1/query", params={"query": expression}) as answer:
            found = await answer.json()
        assert found["status"] == "success", found
        return [float(one["value"][1]) for one in found["data"]["result"]]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        async with self._session.get(f"{self._url}/api/v1/alerts") as answer:
            found = await answer.json()
        return {one["labels"]["alertname"] for one in found["data"]["alerts"] if one["state"] == "firing"}

    async def fires(self, name: str) -> float:
        """Waits until the alert fires. Returns the seconds."""

        async def has() -> bool:
            return name in await self.firing()

        return await eventually(has, what=f"{name} fires", timeout_seconds=SECONDS_MAX)

    async def clears(self, name: str) -> float:
        """Waits until the alert does not fire. Returns the seconds."""

        async def lacks() -> bool:
            return name not in await self.firing()

        return await eventually(lacks, what=f"{name} clears", timeout_seconds=SECONDS_MAX)

    def measure(self, programs: dict[str, int]) -> None:
        """Also asks these programs, by name and port; none of the others that were named before."""
        show_further(self._folder, programs)

    async def is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self._url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    @classmethod
    @asynccontextmanager
    async def running(cls, stack: Stack, folder: Path) -> AsyncIterator[Self]:
        """Prometheus on that stack; its files and data are in a new folder."""
        configure(stack, folder)
        port = free_port()
        assert PROMETHEUS
        process = await asyncio.create_subprocess_exec(
            *(PROMETHEUS, "--config.file", str(folder / "prometheus.yml"), "--storage.tsdb.path", str(folder / "data")),
            *("--web.listen-address", f"127.0.0.1:{port}", "--log.level", "error"),
        )
        try:
            async with aiohttp.ClientSession() as session:
                prometheus = cls(f"http://127.0.0.1:{port}", folder, session)
                await eventually(prometheus.is_ready, what="Prometheus is ready", timeout_seconds=SECONDS_MAX)
                yield prometheus
        finally:
            process.terminate()
            await process.wait()


def configure(stack: Stack, folder: Path) -> None:
    """The project's files, for this stack: asked each second, short windows, and no pause before an alert fires."""
    folder.mkdir()
    config = (MONITORING / "prometheus.yml").read_text().replace("15s", "1s")
    for number in range(len(MEASURED)):
        config = config.replace(f"127.0.0.1:{9101 + number}", f"127.0.0.1:{stack.settings.metrics_port + number}")
    config += f"    file_sd_configs:\n      - {{files: [{_FURTHER}], refresh_interval: 1s}}\n"
    show_further(folder, {})
    (folder / "prometheus.yml").write_text(config)
    rules = re.sub(r"for: \w+", "for: 0s", (MONITORING / "alerts.yml").read_text())
    for long, short in (
        ("oldest_chargeable_age_seconds > 60", "oldest_chargeable_age_seconds > 3"),
        ("oldest_doubt_age_seconds > 600", "oldest_doubt_age_seconds > 3"),
        ("lag_seconds > 10", "lag_seconds > 3"),
        ('time_seconds{job="tollgate"}[10m]', 'time_seconds{job="tollgate"}[1m]'),
        ("[5m]", "[10s]"),
        ('reason=~"unavailable|failed"}[1m]', 'reason=~"unavailable|failed"}[10s]'),
    ):
        assert long in rules, long
        rules = rules.replace(long, short)
    (folder / "alerts.yml").write_text(rules)


def show_further(folder: Path, programs: dict[str, int]) -> None:
    """Names further programs, which Prometheus reads a second later at most."""
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"program": name}} for name, port in programs.items()]
    new = folder / f"{_FURTHER}.new"
    new.write_text(json.dumps(targets))
    new.replace(folder / _FURTHER)
