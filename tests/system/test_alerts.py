"""A real Prometheus on a real stack: every panel of the dashboard has data, alerts fire on their faults and clear."""

import asyncio
import json
import math
import re
import shutil
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.conditions import eventually
from tests.support.ports import free_port
from tests.support.stack import Stack
from tollgate.stack.programs import MEASURED

MONITORING = Path(__file__).parents[2] / "monitoring"
PROMETHEUS = shutil.which("prometheus")
SECONDS_MAX = 60
SOMETIMES = re.compile(r"> 0$")
"""Panels that show only what happened: a rule that was not applied has no line."""

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed"),
]


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
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

    async def is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self._url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


def configure(stack: Stack, folder: Path) -> None:
    """The project's files, for this stack: asked each second, and with no pause before an alert fires."""
    folder.mkdir()
    config = (MONITORING / "prometheus.yml").read_text().replace("15s", "1s")
    for number in range(len(MEASURED)):
        config = config.replace(f"127.0.0.1:{9101 + number}", f"127.0.0.1:{stack.settings.metrics_port + number}")
    (folder / "prometheus.yml").write_text(config)
    rules = re.sub(r"for: \w+", "for: 0s", (MONITORING / "alerts.yml").read_text())
    (folder / "alerts.yml").write_text(rules.replace("_age_seconds > 60", "_age_seconds > 3"))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Prometheus]:
    """Prometheus with the files in the folder."""
    port = free_port()
    assert PROMETHEUS
    process = await asyncio.create_subprocess_exec(
        *(PROMETHEUS, "--config.file", str(folder / "prometheus.yml"), "--storage.tsdb.path", str(folder / "data")),
        *("--web.listen-address", f"127.0.0.1:{port}", "--log.level", "error"),
    )
    try:
        async with aiohttp.ClientSession() as session:
            prometheus = Prometheus(f"http://127.0.0.1:{port}", session)
            await eventually(prometheus.is_ready, what="Prometheus is ready", timeout_seconds=SECONDS_MAX)
            yield prometheus
    finally:
        process.terminate()
        await process.wait()


async def use(stack: Stack, session: aiohttp.ClientSession) -> None:
    """Pays and asks ten times a second, until cancelled. What is refused meanwhile is no failure here."""
    while True:
        payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
        async with session.post(f"{stack.url}/payments", json=payment):
            pass
        async with session.get(f"{stack.url}/payments-summary"):
            await asyncio.sleep(0.1)


async def set_failing(stack: Stack, session: aiohttp.ClientSession, failing: tuple[bool, bool]) -> None:
    """Whether default and fallback fail."""
    for url, fails in zip(stack.simulator_urls, failing, strict=True):
        path, token = "/admin/configurations/failure", {"X-Rinha-Token": "123"}
        async with session.put(f"{url}{path}", json={"failure": fails}, headers=token) as answer:
            assert answer.status < 300


async def fires(prometheus: Prometheus, name: str) -> float:
    """Waits until the alert fires. Returns the seconds."""

    async def has() -> bool:
        return name in await prometheus.firing()

    return await eventually(has, what=f"{name} fires", timeout_seconds=SECONDS_MAX)


async def clears(prometheus: Prometheus, name: str) -> float:
    """Waits until the alert does not fire. Returns the seconds."""

    async def lacks() -> bool:
        return name not in await prometheus.firing()

    return await eventually(lacks, what=f"{name} clears", timeout_seconds=SECONDS_MAX)


async def is_shown(prometheus: Prometheus, panel: str, expression: str) -> None:
    """Waits until the expression has a value that is a number."""

    async def has_value() -> bool:
        return not all(map(math.isnan, await prometheus.values(expression)))

    await eventually(has_value, what=f"{panel} has data", timeout_seconds=SECONDS_MAX)


async def test_every_panel_has_data_and_alerts_fire_on_their_faults_and_clear(tmp_path: Path) -> None:
    seconds: dict[str, tuple[float, float]] = {}
    async with Stack(tmp_path / "data") as stack, aiohttp.ClientSession() as session:
        configure(stack, tmp_path / "prometheus")
        using = asyncio.ensure_future(use(stack, session))
        async with running(tmp_path / "prometheus") as prometheus:
            dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "tollgate.json").read_text())
            for panel in dashboard["panels"]:
                for target in panel.get("targets", ()):
                    if not SOMETIMES.search(target["expr"]):
                        await is_shown(prometheus, panel["title"], target["expr"])

            for name, failing in (
                ("TollgateProviderDown", (True, False)),
                ("TollgateBothProvidersDown", (True, True)),
            ):
                await set_failing(stack, session, failing)
                fired = await fires(prometheus, name)
                assert "TollgatePaymentsWait" not in await prometheus.firing()
                await set_failing(stack, session, (False, False))
                seconds[name] = fired, await clears(prometheus, name)

            for program, name in (
                ("processor", "TollgatePaymentsWait"),
                ("projector", "TollgateProgramDown"),
                ("nats-server", "TollgateAcceptsNothing"),
            ):
                await clears(prometheus, name)
                stack.kill(program, signal.SIGSTOP)
                fired = await fires(prometheus, name)
                stack.kill(program, signal.SIGCONT)
                seconds[name] = fired, await clears(prometheus, name)
        assert not using.done()
        using.cancel()
    print("seconds until it fires, until it clears:", seconds)
