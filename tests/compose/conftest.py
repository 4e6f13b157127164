"""The compose stack, built and started once for all tests of this folder; they are skipped without docker."""

import asyncio
from collections.abc import Iterator

import pytest

from qa.load.client import NoAnswerError, Pool
from qa.load.compose import Compose, Ports, why_not
from tests.support.conditions import eventually
from tests.support.ports import free_port

PROJECT_NAME = "tollgate-test"
READY_SECONDS_MAX = 60


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    """Tollgate with simulated processors, on free ports; nothing but its images is left behind."""
    if (reason := why_not()) is not None:
        pytest.skip(f"the compose stack cannot run here: {reason}")
    stack = Compose(PROJECT_NAME, Ports(free_port(), free_port(), free_port()))
    stack.down()
    stack.build()
    with stack:
        stack.up()
        try:
            asyncio.run(ready(stack))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{stack.logs()}") from None
        yield stack


async def ready(compose: Compose) -> float:
    """Waits until payments are accepted and summaries answered, as the edge says; the seconds it took."""
    pool = Pool(compose.product, 1)

    async def is_ready() -> bool:
        try:
            return all([await _status(pool, "/readyz") == 204, await _status(pool, "/payments-summary") == 200])
        except NoAnswerError:
            return False

    try:
        return await eventually(is_ready, what="the compose stack is ready", timeout_seconds=READY_SECONDS_MAX)
    finally:
        pool.close()


async def _status(pool: Pool, path: str) -> int:
    return (await pool.ask(pool.origin.request("GET", path), timeout_seconds=12)).status
