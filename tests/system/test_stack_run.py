"""`tollgate run` from a terminal: it reports what runs, keeps it running, and leaves nothing behind."""

import asyncio
import signal
import socket
import subprocess
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import nats
import psutil
import pytest

from tests.support.conditions import eventually
from tests.support.stack import STOP_SECONDS_MAX, Stack, stack_command
from tollgate.stack.credentials import ensure_credentials

PROGRAMS = (
    "nats-server",
    "simulator-default",
    "simulator-fallback",
    "processor",
    "projector",
    "gateway-1",
    "gateway-2",
    "caddy",
)


async def pay(stack: Stack, http: aiohttp.ClientSession) -> None:
    payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
    async with http.post(f"{stack.url}/payments", json=payment) as answer:
        assert answer.status == 202, await answer.text()


async def total_amount(stack: Stack, http: aiohttp.ClientSession) -> Decimal:
    """Not a number while the summary is refused, as it is until the projector has its share of the CPU."""
    async with http.get(f"{stack.url}/payments-summary") as answer:
        summary: dict[str, Any] = await answer.json()
    if answer.status != 200:
        return Decimal("NaN")
    return sum((Decimal(str(one["totalAmount"])) for one in summary.values()), Decimal(0))


async def wait_for_total(stack: Stack, http: aiohttp.ClientSession, amount: str) -> None:
    async def shows() -> bool:
        return await total_amount(stack, http) == Decimal(amount)

    await eventually(shows, what=f"the summary shows {amount}")


def files_that_hold(directory: Path, *words: str) -> list[Path]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path for path in files if any(word.encode() in path.read_bytes() for word in words)]


def run_to_its_end(stack: Stack) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*stack_command(), "run"], env=stack.environment, capture_output=True, text=True, timeout=20, check=False
    )


def assert_one_clear_line(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.returncode == 1
    line = (ended.stdout + ended.stderr).strip()
    assert len(line.splitlines()) == 1
    for word in words:
        assert word in line


async def test_a_ready_stack_prints_commands_that_work_and_refuses_other_clients_the_purge_and_a_second_run(
    tmp_path: Path,
) -> None:
    async with Stack(tmp_path) as stack, aiohttp.ClientSession() as http:
        await assert_the_printed_commands_work(stack, http)
        assert stack.states().keys() == set(PROGRAMS)
        await assert_only_the_operator_connects(stack)
        async with http.post(f"{stack.url}/purge-payments") as answer:
            assert answer.status == 403, await answer.text()
        await wait_for_total(stack, http, "19.90")
        ended = await asyncio.to_thread(run_to_its_end, Stack(tmp_path))
        assert_one_clear_line(ended, str(tmp_path), str(stack.launcher.pid), "DATA_DIR")


async def assert_the_printed_commands_work(stack: Stack, http: aiohttp.ClientSession) -> None:
    async def has_printed_it() -> bool:
        return "Ctrl-C stops everything" in stack.output

    await eventually(has_printed_it, what="the launcher prints that it is ready")
    command = stack.output.partition("curl -i ")[2].partition("\n  curl")[0]
    pasted = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", f"curl -s -i {command}"], capture_output=True, text=True, check=True
    )
    assert " 202 " in pasted.stdout.splitlines()[0]
    await wait_for_total(stack, http, "19.90")


async def assert_only_the_operator_connects(stack: Stack) -> None:
    printed = await asyncio.to_thread(
        subprocess.check_output, [*stack_command(), "nats-url"], env=stack.environment, text=True
    )
    assert printed.strip() == stack.nats_url
    operator = await nats.connect(printed.strip())
    assert (await operator.jetstream().stream_info("PAYMENTS")).config.name == "PAYMENTS"
    await operator.close()
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", stack.settings.nats_port)
    await incoming.readline()
    outgoing.write(b"CONNECT {}\r\nPING\r\n")
    assert await incoming.readline() == b"-ERR 'Authorization Violation'\r\n"
    outgoing.close()


async def test_any_program_that_is_killed_comes_back_and_passwords_are_in_no_command_line_no_log_and_no_open_file(
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path)
    async with aiohttp.ClientSession() as http:
        async with stack:
            await pay(stack, http)
            await wait_for_total(stack, http, "19.90")
            passwords = ensure_credentials(stack.settings).passwords.values()
            for process in stack.processes():
                assert not [one for one in passwords if one in " ".join(process.cmdline())]
            for name in PROGRAMS:
                await stack.wait_for_new_pid(name, stack.kill(name))
                await stack.wait_ready()
            await pay(stack, http)
            # The simulators forgot their charges; the log did not.
            await wait_for_total(stack, http, "39.80")
        async with stack:
            await wait_for_total(stack, http, "39.80")
    holders = files_that_hold(tmp_path, *passwords)
    assert {path.relative_to(tmp_path) for path in holders} == {Path("run/credentials"), Path("run/supervisord.conf")}
    for path in holders:
        assert path.stat().st_mode & 0o777 == 0o600
    assert "iolation" not in "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))


@pytest.mark.soak
async def test_twenty_kills_in_a_row_do_not_make_the_supervisor_give_up(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        for _ in range(20):
            old = stack.kill("processor")
            await stack.wait_for_new_pid("processor", old)
            # Longer than the supervisor needs to call it started; a minute has room for more than twenty of these.
            await asyncio.sleep(1.5)
        assert stack.states()["processor"].state == "RUNNING"


async def test_a_signal_stops_everything_within_ten_seconds_and_a_second_run_continues_with_the_data(
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path)
    async with aiohttp.ClientSession() as http:
        async with stack:
            await pay(stack, http)
            await wait_for_total(stack, http, "19.90")
            await assert_a_signal_stops_everything(stack, signal.SIGTERM)
        async with stack:
            # Nothing is paid here; a summary may be refused for a moment after the start.
            await wait_for_total(stack, http, "19.90")
            await assert_a_signal_stops_everything(stack, signal.SIGINT)


async def assert_a_signal_stops_everything(stack: Stack, number: signal.Signals) -> None:
    processes = stack.processes()
    assert len(processes) == len(PROGRAMS) + 2
    assert await stack.stop(number) < STOP_SECONDS_MAX
    assert stack.launcher.returncode == 0
    assert not any(process.is_running() for process in processes)


@pytest.mark.parametrize("victim", ["launcher", "supervisord"])
async def test_nothing_survives_a_launcher_or_supervisor_that_is_killed(tmp_path: Path, victim: str) -> None:
    async with Stack(tmp_path) as stack:
        processes = stack.processes()
        if victim == "launcher":
            stack.launcher.kill()
        else:
            stack.kill("supervisord")
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, STOP_SECONDS_MAX)
        assert not alive


async def test_below_a_long_path_gateways_use_tcp_the_purge_can_be_on_and_a_program_that_hangs_is_killed_in_time(
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path / ("long-" * 20), environment={"ALLOW_PURGE": "true"})
    async with stack, aiohttp.ClientSession() as http:
        await pay(stack, http)
        await wait_for_total(stack, http, "19.90")
        assert not list(stack.settings.run.glob("gateway*.sock"))
        assert stack.states()["gateway-2"].state == "RUNNING"
        async with http.post(f"{stack.url}/purge-payments") as answer:
            assert answer.status == 200, await answer.text()
        await wait_for_total(stack, http, "0")
        for name in PROGRAMS:
            stack.kill(name, signal.SIGSTOP)
        assert await stack.stop() < STOP_SECONDS_MAX


@pytest.mark.parametrize(
    "variable",
    ["TOLLGATE_PORT", "TOLLGATE_NATS_PORT", "TOLLGATE_NATS_MONITOR_PORT", "TOLLGATE_SIMULATOR_PORT"],
)
def test_a_port_in_use_is_one_line_that_names_it_and_the_variable(tmp_path: Path, variable: str) -> None:
    stack = Stack(tmp_path)
    with socket.create_server(("127.0.0.1", int(stack.environment[variable]))):
        ended = run_to_its_end(stack)
    assert_one_clear_line(ended, stack.environment[variable], variable)


async def test_a_program_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path, environment={"TOLLGATE_READY_SECONDS": "5"})
    (tmp_path / "nats").mkdir()
    # Where the broker would make a folder.
    (tmp_path / "nats" / "jetstream").touch()
    stack.start()
    began = time.monotonic()
    try:
        await asyncio.to_thread(stack.launcher.wait, 30)
    finally:
        stack.launcher.kill()
    assert time.monotonic() - began < 25
    assert stack.launcher.returncode == 1
    assert "nats-server is " in stack.output
    assert "The end of nats-server.log:" in stack.output
    assert "Traceback" not in stack.output.partition("The end of")[0]
