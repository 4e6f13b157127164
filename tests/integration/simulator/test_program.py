"""The program: start, output, and stop."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from tests.integration.simulator.running_simulator import SERVICES, Client, Program

BAD_FAULTS = [("--fault", fault) for fault in ("unknown=1", "close_ratio", "close_ratio=x", "close_ratio=2")]
PENDING_SECONDS = 60
CORRELATION_ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


async def test_it_prints_one_line_when_it_listens(start: Callable[..., Client]) -> None:
    client = start("--name", "fallback")
    assert client.program.first_line == f"simulator fallback: listening on http://127.0.0.1:{client.program.port}"
    assert await client.pay() == 200


async def test_every_option_can_be_set_in_the_environment(start: Callable[..., Client]) -> None:
    client = start(SIMULATOR_NAME="expensive", SIMULATOR_FEE="0.15", SIMULATOR_MAX_PAYMENTS="1", SIMULATOR_SEED="9")
    assert client.program.first_line.startswith("simulator expensive:")
    assert await client.pay(amount=10) == 200
    assert await client.pay() == 500
    _, summary = await client.admin("GET", "payments-summary")
    assert Decimal(str(summary["totalFee"])) == Decimal("1.5")
    assert summary["feePerTransaction"] == 0.15
    _, faults = await client.admin("GET", "faults")
    assert faults["seed"] == 9


def test_a_port_in_use_is_one_clear_line_and_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = _run("--port", str(port))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    "flags", [("--fee", "1.5"), ("--fee", "x"), ("--port", "70000"), ("--max-payments", "0"), *BAD_FAULTS]
)
def test_an_option_out_of_range_is_refused(flags: tuple[str, str]) -> None:
    ended = _run(*flags)
    assert ended.returncode == 2
    assert flags[0] in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_though_payments_are_under_way(
    start: Callable[..., Client], number: signal.Signals
) -> None:
    client = start()
    await client.switch("configurations/delay", {"delay": PENDING_SECONDS * 1_000})
    payment = asyncio.create_task(client.pay())
    await client.until_stats(running=1)
    await _stops(client.program, number)
    with pytest.raises(aiohttp.ClientError):
        await payment


async def test_a_signal_stops_it_though_it_does_not_listen(start: Callable[..., Client]) -> None:
    client = start()
    await client.switch("listening", {"seconds": PENDING_SECONDS})
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.pay()
    await _stops(client.program, signal.SIGTERM)


async def _stops(program: Program, number: signal.Signals) -> None:
    """It ends without waiting for a payment or a pause of PENDING_SECONDS."""
    program.process.send_signal(number)
    output, errors = await asyncio.to_thread(program.process.communicate, timeout=PENDING_SECONDS / 3)
    assert (program.process.returncode, output, errors) == (0, "", "")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollgate.simulator", *arguments]
    return subprocess.run(command, cwd=SERVICES, capture_output=True, text=True, timeout=10, check=False)


async def test_charges_survive_a_kill_and_only_a_purge_deletes_them(
    start: Callable[..., Client], tmp_path: Path
) -> None:
    book = ("--book", str(tmp_path / "books" / "default"))
    first = start(*book)
    assert await first.pay(CORRELATION_ID, amount=10) == 200
    first.program.process.kill()
    second = start(*book)
    assert await second.knows(CORRELATION_ID)
    assert await second.pay(CORRELATION_ID, amount=10) == 422
    _, summary = await second.admin("GET", "payments-summary")
    assert (summary["totalRequests"], Decimal(str(summary["totalAmount"]))) == (1, Decimal(10))
    assert (await second.admin("POST", "purge-payments"))[0] == 200
    second.program.process.kill()
    assert not await start(*book).knows(CORRELATION_ID)


def test_an_unreadable_file_of_charges_is_reported_in_one_line(tmp_path: Path) -> None:
    book = tmp_path / "book"
    book.write_text("nothing\n")
    ended = _run("--port", "0", "--book", str(book))
    assert (ended.returncode, ended.stderr) == (1, f"Error: {book} is not a file of charges: line 1 is no charge\n")
