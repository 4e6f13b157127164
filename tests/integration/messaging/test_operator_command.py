"""How operator commands connect to the broker, and what they print when they cannot."""

import asyncio
import time
import uuid
from pathlib import Path

import pytest

from tests.support.authority import make_authority
from tests.support.commands import Ended, run_command
from tests.support.nats_server import GuardedNatsServer, with_block
from tests.support.ports import free_port
from tests.support.services import Projector
from tollgate.messaging.connection import Broker
from tollgate.messaging.operator_command import CONNECT_SECONDS, BrokerAddress, broker_for_command
from tollgate.runtime.errors import BrokerUnavailableError

SECONDS_MAX = CONNECT_SECONDS + 7.0
"""With the start of Python and what it imports, beside other tests."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "projector status": (),
    "projector rebuild": (),
    "projector verify": (),
    "processor status": (),
    "processor resolve": (str(uuid.uuid4()), "--charged", "--note", "seen"),
    "tollgate log": (),
    "tollgate backup": ("backup",),
}


def run(command: str, folder: Path, **variables: str) -> Ended:
    program, name = command.split()
    ended = run_command(program, name, *COMMANDS[command], folder=folder, **variables)
    assert ended.status == (2 if command == "projector verify" else 1), ended
    assert ended.seconds < SECONDS_MAX
    return ended


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_wrong_password_a_missing_one_and_a_broker_that_is_away_are_three_lines(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "data" / "projector").mkdir(parents=True)
    with GuardedNatsServer(tmp_path / "nats") as server:
        await server.ready()
        where = f"127.0.0.1:{server.port}"
        urls = {
            f"nats://operator:wrong@{where}": f"the broker at {where} refuses the user operator with this password",
            f"nats://{where}": f"the broker at {where} asks for a user and a password, and NATS_URL has none",
        }
        for url, line in urls.items():
            ended = await asyncio.to_thread(run, command, tmp_path, NATS_URL=url)
            assert ended.line.startswith(line)
            assert "wrong" not in ended.line
    ended = await asyncio.to_thread(run, command, tmp_path, NATS_URL=server.url("operator"))
    assert ended.line.startswith(f"the broker at {where} cannot be reached: ")
    assert "refused" in ended.line
    assert server.passwords["operator"] not in ended.line


async def connect(url: str) -> float:
    """The seconds until it is given up."""
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        async with broker_for_command(BrokerAddress(url)):
            pass
    return time.monotonic() - began


async def test_a_connection_is_given_up_in_time_and_a_refused_one_at_once(tmp_path: Path) -> None:
    with GuardedNatsServer(tmp_path / "nats") as server:
        await server.ready()
        assert await connect(f"nats://operator:wrong@127.0.0.1:{server.port}") < CONNECT_SECONDS
        server.pause()
        assert await connect(server.url("operator")) < CONNECT_SECONDS + 1.5
        server.resume()
    assert await connect(server.url("operator")) < CONNECT_SECONDS + 1.5


async def test_a_broker_that_is_being_started_again_is_waited_for(tmp_path: Path) -> None:
    server = GuardedNatsServer(tmp_path / "nats")

    async def connected() -> Broker:
        async with broker_for_command(BrokerAddress(server.url("operator"))) as broker:
            return broker

    connecting = asyncio.ensure_future(connected())
    await asyncio.sleep(0)
    with server:
        assert (await connecting).generation == 1


@pytest.mark.parametrize("command", ["projector status", "projector rebuild", "processor status"])
def test_without_a_stack_and_without_a_variable_a_command_names_what_is_missing(tmp_path: Path, command: str) -> None:
    (tmp_path / "data" / "projector").mkdir(parents=True)
    ended = run(command, tmp_path, NATS_URL=f"nats://127.0.0.1:{free_port()}")
    assert "NATS_URL, or the stack on DATA_DIR, names it" in ended.line


def test_stack_log_without_a_stack_names_the_folder_that_it_looked_into(tmp_path: Path) -> None:
    ended = run("tollgate log", tmp_path)
    assert f"no stack runs on {tmp_path}/data" in ended.line


async def test_a_url_without_a_user_gets_the_one_that_the_command_needs(tmp_path: Path) -> None:
    """As in a container, where each user's password is in a file of its own."""
    with GuardedNatsServer(tmp_path / "nats") as server, Projector(server.url("projector"), tmp_path / "nats"):
        await server.ready()
        ended = await asyncio.to_thread(
            run_command,
            *("projector", "status", "--json"),
            NATS_URL=f"nats://127.0.0.1:{server.port}",
            NATS_OPERATOR_PASSWORD=server.passwords["operator"],
        )
        assert "refuses" not in ended.errors
        assert "asks for" not in ended.errors


async def test_commands_trust_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "authority")
    environment = {"NATS_TLS_CERT": authority.certificate, "NATS_TLS_KEY": authority.key}
    config = with_block("tls", tmp_path)
    with GuardedNatsServer(tmp_path / "nats", config=config, environment=environment) as server:
        await server.ready()
        url = server.url("operator").replace("nats://", "tls://")
        for command in COMMANDS:
            untrusting = await asyncio.to_thread(run, command, tmp_path, NATS_URL=url)
            assert "certificate verify failed" in untrusting.line
            trusting = await asyncio.to_thread(run, command, tmp_path, NATS_URL=url, NATS_CA_FILE=authority.ca)
            assert "cannot be reached" not in trusting.line
