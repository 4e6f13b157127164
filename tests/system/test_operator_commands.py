"""Operator commands beside a running stack, in a shell with only DATA_DIR set."""

import asyncio
import functools
import signal
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.support.commands import Ended, run_command
from tests.support.conditions import eventually
from tests.support.stack import Stack

COMMANDS: dict[str, tuple[str, ...]] = {
    "tollgate status": (),
    "tollgate nats-url": (),
    "tollgate log": ("--json",),
    "tollgate backup": ("backup",),
    "projector status": ("--json",),
    "projector verify": ("--json",),
    "projector query": ("SELECT count(*) FROM settled_payments",),
    "projector export": ("--out", "payments.parquet"),
    "projector rebuild": (),
    "processor status": ("--json",),
}


async def run(command: str, *arguments: str, folder: Path, **variables: str) -> Ended:
    program, name = command.split()
    call = functools.partial(run_command, program, name, *arguments, folder=folder, **variables)
    return await asyncio.to_thread(call)


async def pay(stack: Stack) -> None:
    """One payment, until it is charged."""
    async with aiohttp.ClientSession() as http:
        payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
        async with http.post(f"{stack.url}/payments", json=payment) as answer:
            assert answer.status == 202, await answer.text()

        async def is_charged() -> bool:
            async with http.get(f"{stack.url}/payments/{payment['correlationId']}") as answer:
                # 503 until the projector answers.
                return answer.status == 200 and bool((await answer.json())["state"] == "processed")

        await eventually(is_charged, what="the payment is charged")


async def test_every_command_finds_the_stack_by_its_data_alone_or_by_where_it_is_typed(tmp_path: Path) -> None:
    """Every port was moved by a variable that this shell has not. At the end the terminal is closed."""
    for name in ("logs", "projector"):
        (tmp_path / "data" / name).mkdir(mode=0o755, parents=True)
    async with Stack(tmp_path / "data") as stack:
        await pay(stack)
        await run("projector query", "SELECT 1", folder=tmp_path)
        assert_nothing_is_for_others_also_where_a_folder_was(tmp_path / "data")
        for command, arguments in COMMANDS.items():
            ended = await run(command, *arguments, folder=tmp_path)
            assert ended.status == 0, (command, ended)
            assert "Traceback" not in ended.errors
        (tmp_path / "elsewhere").mkdir()
        for command in ("tollgate log", "projector status", "processor status"):
            ended = await run(command, folder=tmp_path / "elsewhere", DATA_DIR=str(tmp_path / "data"))
            assert ended.status == 0, (command, ended)
        refused = await run("processor resolve", str(uuid.uuid4()), "--charged", "--note", "x", folder=tmp_path)
        assert refused.line.startswith("no payment ")
        verified = orjson.loads((await run("projector verify", "--json", folder=tmp_path)).output)
        assert verified["processors"]["default"]["count"] + verified["processors"]["fallback"]["count"] == 1
        await assert_a_variable_that_is_set_counts_before_the_running_stack(tmp_path)
        await stack.stop(signal.SIGHUP)
        assert stack.launcher.returncode == 0


async def status(folder: Path) -> tuple[int, dict[str, Any]]:
    ended = await run("tollgate status", "--json", folder=folder)
    return ended.status, orjson.loads(ended.output)


async def test_the_status_names_each_program_and_the_fault_and_beside_a_killed_stack_a_command_is_one_line(
    tmp_path: Path,
) -> None:
    async with Stack(tmp_path / "data") as stack:
        await pay(stack)
        number, view = await status(tmp_path)
        assert (number, view["faults"]) == (0, [])
        assert sum(one["count"] for one in view["providers"]) == 1
        assert view["payments"]["settled"] == 1
        assert view["log"]["bytes"] > 0
        assert [one["breaker"] for one in view["providers"]] == ["closed", "closed"]
        assert {one["name"] for one in view["processes"]} == stack.states().keys()
        for signal_number, fault, expected in (
            (signal.SIGSTOP, "no processor answers", 1),
            (signal.SIGCONT, None, 0),
        ):
            stack.kill("processor", signal_number)
            number, view = await status(tmp_path)
            assert (number, fault in view["faults"]) == (expected, fault is not None), view["faults"]
        screen = (await run("tollgate status", folder=tmp_path)).output
        assert screen.startswith("health     fine\n")
        assert f"pid {stack.pid('gateway-1')}" in screen
        stack.kill("nats-server", signal.SIGSTOP)
        assert (await run("tollgate status", folder=tmp_path)).status == 2
        stack.kill("nats-server", signal.SIGCONT)
        # Its file of addresses is left.
        await stack.stop(signal.SIGKILL)
    await assert_commands_find_no_stack(tmp_path)


async def assert_a_variable_that_is_set_counts_before_the_running_stack(folder: Path) -> None:
    ended = await run("projector status", folder=folder, NATS_URL="nats://127.0.0.1:1")
    assert ended.line.startswith("the broker at 127.0.0.1:1 cannot be reached")


def assert_nothing_is_for_others_also_where_a_folder_was(data: Path) -> None:
    open_to_others = [
        f"{path}: {path.lstat().st_mode:o}"
        for path in data.rglob("*")
        # The test's own output; and a socket is reached through its folder alone.
        if path.lstat().st_mode & 0o077 and path.suffix not in {".out", ".sock"}
    ]
    assert open_to_others == []


async def assert_commands_find_no_stack(folder: Path) -> None:
    for command, expected in (
        ("projector rebuild", 1),
        ("projector status", 1),
        ("processor status", 1),
        ("tollgate log", 1),
        ("tollgate status", 2),
    ):
        ended = await run(command, folder=folder)
        assert ended.status == expected
        assert "no stack runs on" in ended.line or "cannot be reached" in ended.line
        assert ended.seconds < 10


async def test_it_ignores_a_closed_terminal_under_nohup_and_stops_on_an_interrupt_that_the_shell_ignores(
    tmp_path: Path,
) -> None:
    command = ("nohup", "sh", "-c", 'trap "" INT; exec "$@"', "sh")
    async with Stack(tmp_path / "data", command=command) as stack:
        stack.launcher.send_signal(signal.SIGHUP)
        await pay(stack)
        assert stack.launcher.poll() is None
        await stack.stop(signal.SIGINT)
        assert stack.launcher.returncode == 0
    await assert_commands_find_no_stack(tmp_path)
