"""A real Prometheus on a real stack: every panel has data, each alert fires on its fault and clears after it."""

import asyncio
import itertools
import json
import math
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from nats.aio.msg import Msg

from tests.support.clocks import settable_clock
from tests.support.commands import run_command
from tests.support.conditions import eventually
from tests.support.ports import free_port
from tests.support.prometheus import MONITORING, PROMETHEUS, SECONDS_MAX, Prometheus
from tests.support.services import TOKEN, Processor, Projector
from tests.support.stack import Stack
from tollgate.archive.folder import MANIFEST_FILE, stretch_names
from tollgate.contract.events import PaymentRequested, PaymentRouted
from tollgate.contract.subjects import REQUESTED, STREAM
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.validity import valid_events
from tollgate.projector.verify.last_verification import LastVerification, VerificationRecord
from tollgate.stack.credentials import ensure_credentials

SOMETIMES = re.compile(r"> 0$")
"""Panels that show only what happened: a rule that was not applied has no line."""

needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


@dataclass(frozen=True)
class Scene:
    """A stack that is used, and the Prometheus that asks it."""

    stack: Stack
    session: aiohttp.ClientSession
    prometheus: Prometheus
    folder: Path

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def url(self, user: str) -> str:
        """The broker's address for that user."""
        return ensure_credentials(self.stack.settings).url(self.stack.settings, user)

    async def put(self, provider: int, path: str, **fields: object) -> None:
        """Switches something at default (0) or fallback (1)."""
        url = f"{self.stack.simulator_urls[provider]}/admin/{path}"
        async with self.session.put(url, json=fields, headers=TOKEN) as answer:
            assert answer.status < 300

    async def verified(self) -> int:
        """Runs `projector verify`. Returns its exit status."""
        default, fallback = self.stack.simulator_urls
        variables = {
            "DATA_DIR": str(self.stack.data),
            "ARCHIVE_DIR": str(self.archive),
            "PAYMENT_PROCESSOR_URL_DEFAULT": default,
            "PAYMENT_PROCESSOR_URL_FALLBACK": fallback,
        }
        return (await asyncio.to_thread(lambda: run_command("projector", "verify", folder=None, **variables))).status

    async def archived(self, *options: str) -> int:
        """Runs `tollgate archive`. Returns its exit status."""
        variables = {"DATA_DIR": str(self.stack.data), "ARCHIVE_DIR": str(self.archive)}
        return (
            await asyncio.to_thread(lambda: run_command("tollgate", "archive", *options, folder=None, **variables))
        ).status


@asynccontextmanager
async def stopped(scene: Scene, program: str) -> AsyncIterator[None]:
    """A program that hangs."""
    scene.stack.kill(program, signal.SIGSTOP)
    try:
        yield
    finally:
        scene.stack.kill(program, signal.SIGCONT)


@asynccontextmanager
async def failing(scene: Scene, *providers: int) -> AsyncIterator[None]:
    """Providers that answer with failures."""
    for one in providers:
        await scene.put(one, "configurations/failure", failure=True)
    yield
    for one in providers:
        await scene.put(one, "configurations/failure", failure=False)


@asynccontextmanager
async def restarting(scene: Scene) -> AsyncIterator[None]:
    """A program that is killed again and again; each start has to be seen."""
    starts = 'changes(process_start_time_seconds{program="gateway-2"}[1m])'
    for number in range(1, 5):
        scene.stack.kill("gateway-2")

        async def is_seen(number: int = number) -> bool:
            return await scene.prometheus.values(starts) >= [number]

        await eventually(is_seen, what=f"start {number} is seen", timeout_seconds=SECONDS_MAX)
    yield


@asynccontextmanager
async def losing_answers(scene: Scene) -> AsyncIterator[None]:
    """Providers that charge and do not answer, and refuse lookups."""
    for one in (0, 1):
        await scene.put(one, "faults", lost_answer_ratio=1, lookup_refused_ratio=1)
    yield
    for one in (0, 1):
        await scene.put(one, "faults", lost_answer_ratio=0, lookup_refused_ratio=0)


@asynccontextmanager
async def slow_calls(scene: Scene, program: str, calls: str, seconds: float) -> AsyncIterator[None]:
    """Each of these system calls of the program takes so long."""
    delay = f"inject={calls}:delay_enter={seconds * 1e6:.0f}"
    options = ("-qq", "-f", "-e", f"trace={calls}", "-e", delay, "-o", "/dev/null")
    pid = str(scene.stack.pid(program))
    process = await asyncio.create_subprocess_exec("strace", *options, "-p", pid, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def slow_disk(scene: Scene, program: str, seconds: float) -> AbstractAsyncContextManager[None]:
    """Each sync of the program takes so long, as on a disk that hangs."""
    return slow_calls(scene, program, "fsync,fdatasync", seconds)


@asynccontextmanager
async def second_projector(scene: Scene) -> AsyncIterator[None]:
    """Another projector on the same log, and neither knows of a standby."""
    port, folder = free_port(), scene.folder / "second"
    folder.mkdir()
    with Projector(scene.url("projector"), folder, METRICS_PORT=str(port)):
        scene.prometheus.measure({"projector-2": port})
        yield
    scene.prometheus.measure({})


@asynccontextmanager
async def broken_chain(scene: Scene) -> AsyncIterator[None]:
    """An archive with a changed manifest, which the next run finds."""
    path = scene.archive / stretch_names(scene.archive)[0] / MANIFEST_FILE
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    assert await scene.archived() == 1
    yield
    path.write_bytes(content)
    assert await scene.archived() == 0


@asynccontextmanager
async def lost_archive(scene: Scene) -> AsyncIterator[None]:
    """An archive that cannot be read at its end."""
    path = scene.archive / stretch_names(scene.archive)[-1]
    hidden = path.with_name("hidden")
    path.rename(hidden)
    path.mkdir()
    yield
    path.rmdir()
    hidden.rename(path)


@asynccontextmanager
async def foreign_charge(scene: Scene) -> AsyncIterator[None]:
    """A charge in a provider's records that Tollgate has not made."""
    stamp = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    charge = {"correlationId": str(uuid.uuid4()), "amount": 19.90, "requestedAt": stamp}
    async with scene.session.post(f"{scene.stack.simulator_urls[0]}/payments", json=charge) as answer:
        assert answer.status == 200
    assert await scene.verified() == 1
    yield
    # The alert clears with a record without differences; only the benchmark's purge would remove the charge.
    VerificationRecord(scene.stack.data / "projector").write(LastVerification(0, 0))


@asynccontextmanager
async def small_log(scene: Scene) -> AsyncIterator[None]:
    """A log whose limit is near."""
    async with Broker(scene.url("projector"), name="projector") as broker:
        state = await broker.request(f"$JS.API.STREAM.INFO.{STREAM}", b"", timeout_seconds=5)
        await Log(broker).ensure(LogLimits(bytes_max=int(state["state"]["bytes"] * 1.08)))
        yield
        await Log(broker).ensure(LogLimits())


@asynccontextmanager
async def damaged_log(scene: Scene) -> AsyncIterator[None]:
    """A broker that comes back without the newest messages that it had stored."""
    await scene.stack.stop()
    store = scene.stack.data / "nats"
    copy = shutil.copytree(store, scene.folder / "copy of nats")
    block = max(store.glob("**/PAYMENTS/msgs/*.blk"), key=lambda path: int(path.stem))
    content = block.read_bytes()
    block.write_bytes(content[: len(content) // 2])
    scene.stack.start()
    yield
    await scene.stack.stop()
    shutil.rmtree(store)
    shutil.copytree(copy, store)
    scene.stack.start()
    await scene.stack.wait_ready()


@asynccontextmanager
async def forged_message(scene: Scene) -> AsyncIterator[None]:
    """Something that is no event, stored with a gateway's password."""
    async with Broker(scene.url("gateway"), name="gateway") as broker:
        await broker.client.publish(REQUESTED, b"no event")
        await broker.client.flush()
    yield
    # The count is since the start.
    scene.stack.kill("projector")


@asynccontextmanager
async def clock_off(scene: Scene) -> AsyncIterator[None]:
    """A replica whose clock is two seconds behind."""
    port = free_port()
    clock, variables = settable_clock(scene.folder / "clock")
    clock.set(-2.0)
    default, fallback = scene.stack.simulator_urls
    variables["METRICS_PORT"] = str(port)
    with Processor(scene.url("processor"), scene.folder, default=default, fallback=fallback, **variables):
        scene.prometheus.measure({"processor-2": port})
        yield
        clock.set(0.0)
        # The alert clears while the replica still runs.
        await scene.prometheus.clears("TollgateClockOff")
    scene.prometheus.measure({})


@asynccontextmanager
async def competitor(scene: Scene) -> AsyncIterator[None]:
    """Somebody who routes each payment while the processor's own intent is on its way to the broker, for 20 ms longer.

    An intent that is stored before the processor decides is no void one: the processor sees it, and writes none.
    """
    async with (
        slow_calls(scene, "processor", "write,writev,sendto,sendmsg", 0.02),
        Broker(scene.url("operator"), name="operator") as reader,
        Broker(scene.url("processor"), name="processor") as writer,
    ):
        log = Log(writer)
        delays = itertools.cycle((0.005, 0.01, 0.02, 0.04, 0.05))

        async def route(message: Msg) -> None:
            for event in valid_events(1, REQUESTED, message.data) or ():
                assert isinstance(event, PaymentRequested)
                # When the processor decides depends on whether it gathers requests: at once, or after 40 ms.
                await asyncio.sleep(next(delays))
                stamp_us = writer.clock.now_us()
                routed = PaymentRouted(event.correlation_id, event.amount_cents, 1, "default", stamp_us, "test")
                await log.append(routed, timeout_seconds=5)

        await reader.client.subscribe(REQUESTED, cb=route)
        yield


Fault = Callable[[Scene], AbstractAsyncContextManager[None]]
FAULTS: dict[str, Fault] = {
    "TollgateProviderDown": lambda scene: failing(scene, 0),
    "TollgateBothProvidersDown": lambda scene: failing(scene, 0, 1),
    "TollgatePaymentsWait": lambda scene: stopped(scene, "processor"),
    "TollgateDoubtsOld": losing_answers,
    "TollgateIntentsVoid": competitor,
    "TollgateClockOff": clock_off,
    "TollgateProgramDown": lambda scene: stopped(scene, "projector"),
    "TollgateProgramRestarts": restarting,
    "TollgateReadModelBehind": lambda scene: slow_disk(scene, "projector", 60),
    "TollgateProjectorsActive": second_projector,
    "TollgateMessagesSetAside": forged_message,
    "TollgateArchiveFails": broken_chain,
    "TollgateArchiveUnusable": lost_archive,
    "TollgateVerificationDiffers": foreign_charge,
    "TollgateLogNearlyFull": small_log,
    "TollgateRefusesPayments": lambda scene: slow_disk(scene, "nats-server", 4),
    "TollgateAcceptsNothing": lambda scene: stopped(scene, "nats-server"),
    "TollgateLogDamaged": damaged_log,
}
"""A fault for each alert; it lasts while the context is entered."""


def test_every_alert_has_a_fault() -> None:
    assert sorted(FAULTS) == sorted(re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text()))


async def use(stack: Stack, session: aiohttp.ClientSession) -> None:
    """Pays and asks ten times a second, until cancelled. What is refused meanwhile is no failure here."""
    while True:
        payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
        try:
            async with session.post(f"{stack.url}/payments", json=payment):
                pass
            async with session.get(f"{stack.url}/payments-summary"):
                pass
        except aiohttp.ClientError:
            # The edge is away, too.
            pass
        await asyncio.sleep(0.1)


@asynccontextmanager
async def used_scene(folder: Path) -> AsyncIterator[Scene]:
    environment = {"ARCHIVE_DIR": str(folder / "archive")}
    async with Stack(folder / "data", environment=environment) as stack, aiohttp.ClientSession() as session:
        using = asyncio.ensure_future(use(stack, session))
        try:
            async with Prometheus.running(stack, folder / "prometheus") as prometheus:
                yield Scene(stack, session, prometheus, folder)
            assert not using.done()
        finally:
            using.cancel()
            await asyncio.gather(using, return_exceptions=True)


async def is_shown(prometheus: Prometheus, panel: str, expression: str) -> None:
    """Waits until the expression has a value that is a number."""

    async def has_value() -> bool:
        return not all(map(math.isnan, await prometheus.values(expression)))

    await eventually(has_value, what=f"{panel} has data", timeout_seconds=SECONDS_MAX)


async def archive_stretches(scene: Scene) -> None:
    """Archives what has ended by now, in two stretches or more."""

    async def has_two() -> bool:
        assert await scene.archived("--messages-max", "20") == 0
        return len(stretch_names(scene.archive)) > 1

    await eventually(has_two, what="two stretches are archived", timeout_seconds=SECONDS_MAX)


@needs_prometheus
@pytest.mark.soak
async def test_every_panel_has_data_and_each_alert_fires_on_its_fault_and_clears(tmp_path: Path) -> None:
    async with used_scene(tmp_path) as scene:
        prometheus = scene.prometheus
        dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "tollgate.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                if not SOMETIMES.search(target["expr"]):
                    await is_shown(prometheus, panel["title"], target["expr"])
        await archive_stretches(scene)
        for name, fault in FAULTS.items():
            await prometheus.clears(name)
            async with fault(scene):
                fired = await prometheus.fires(name)
                if name.endswith(("ProviderDown", "ProvidersDown")):
                    assert "TollgatePaymentsWait" not in await prometheus.firing()
                mended = time.monotonic()
            await prometheus.clears(name)
            print(f"| {name} | {fired:.1f} | {time.monotonic() - mended:.1f} |", flush=True)
