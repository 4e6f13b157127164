"""One simulator that most tests share, and separate ones for the others."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields

import aiohttp
import pytest

from tests.integration.simulator.running_simulator import Client, Program, program
from tollgate.simulator.faults import Faults

NO_FAULTS = dict.fromkeys((field.name for field in fields(Faults)), 0)


@pytest.fixture(scope="session")
def shared_program() -> Iterator[Program]:
    with program("--seed", "1") as running:
        yield running
        running.process.terminate()
        _, errors = running.process.communicate(timeout=5)
        assert errors == "", "whatever the clients did, it had nothing to complain about"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as opened:
        yield opened


@pytest.fixture
async def client(shared_program: Program, session: aiohttp.ClientSession) -> Client:
    """A client of the simulator that the tests share, emptied and with every fault off."""
    shared = Client(shared_program, session)
    await shared.switch("faults", NO_FAULTS)
    await shared.switch("configurations/delay", {"delay": 0})
    await shared.switch("configurations/failure", {"failure": False})
    await shared.admin("POST", "purge-payments")
    return shared


@pytest.fixture
def start(session: aiohttp.ClientSession) -> Iterator[Callable[..., Client]]:
    """Starts a simulator of the test's own, with the given flags and environment."""
    with ExitStack() as running:
        yield lambda *arguments, **environment: Client(
            running.enter_context(program(*arguments, **environment)), session
        )
