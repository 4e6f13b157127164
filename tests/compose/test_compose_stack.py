"""The image and the compose files, run as their users run them, inside the contest's limits."""

import asyncio
import json
import shlex

import pytest
from load.compose import SERVICES, Compose, ComposeError, docker

from support.conditions import eventually
from support.paying import Account, Payers

RATE_PER_SECOND = 100
SECONDS = 8
AFTER_SECONDS = 1
BACK_SECONDS_MAX = 6
"""From the end of what was done to a service to the last payment that was refused because of it."""
REFUSE_WHILE_AWAY = {
    "nats": "nothing can be accepted without the log",
    "caddy": "nobody else listens",
}


@pytest.fixture
def payers(compose: Compose) -> Payers:
    return Payers(compose.product, compose.processors, RATE_PER_SECOND)


def assert_kept(account: Account, service: str | None = None) -> None:
    """Every promise: none lost, none twice, and nobody refused but while `service` had to be away."""
    assert account.audit.clean, account.audit
    assert account.summary_equals_books
    assert (account.accepted, account.unknown) == (RATE_PER_SECOND * SECONDS, 0)
    if service not in REFUSE_WHILE_AWAY:
        assert account.refusals == []
    from_seconds, until_seconds = account.happened
    for refusal in account.refusals:
        assert refusal.until_seconds >= from_seconds, refusal
        assert refusal.from_seconds <= until_seconds + BACK_SECONDS_MAX, refusal


async def test_payments_are_charged_once_each_and_summed_exactly(payers: Payers) -> None:
    assert_kept(await payers.pay_during(lambda: None, after_seconds=AFTER_SECONDS, seconds=SECONDS))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_restart_loses_nothing_and_refuses_nobody_who_can_be_served(
    compose: Compose, payers: Payers, service: str
) -> None:
    account = await payers.pay_during(lambda: compose.restart(service), after_seconds=AFTER_SECONDS, seconds=SECONDS)
    assert_kept(account, service)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_program_that_dies_is_started_again_and_nothing_is_lost(
    compose: Compose, payers: Payers, service: str
) -> None:
    before = compose.containers()[service]
    account = await payers.pay_during(lambda: compose.crash(service), after_seconds=AFTER_SECONDS, seconds=SECONDS)
    after = compose.containers()[service]
    assert after.restarts == before.restarts + 1
    assert after.pid not in {0, before.pid}
    assert_kept(account, service)


def test_all_together_have_1_5_cpu_and_350_mb(compose: Compose) -> None:
    containers = compose.containers()
    limits = [one["HostConfig"] for one in json.loads(docker("inspect", *(containers[name].id for name in SERVICES)))]
    assert all(one["NanoCpus"] and one["Memory"] for one in limits)
    assert sum(one["NanoCpus"] for one in limits) <= 1.5e9
    assert sum(one["Memory"] for one in limits) <= 350 * 1024 * 1024


def check_health(compose: Compose, service: str, *, after: str = "true") -> None:
    """Runs a service's own check now, in place of waiting until the engine does. Raises ComposeError."""
    container = compose.containers()[service]
    (found,) = json.loads(docker("inspect", container.id))
    kind, *check = found["Config"]["Healthcheck"]["Test"]
    command = check[0] if kind == "CMD-SHELL" else shlex.join(check)
    docker("exec", container.id, "sh", "-c", f"{after} && {command}")


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "caddy"])
async def test_the_health_check_of_each_service_holds(compose: Compose, service: str) -> None:
    async def is_well() -> bool:
        try:
            await asyncio.to_thread(check_health, compose, service)
        except ComposeError:
            return False
        return True

    await eventually(is_well, what=f"{service} is well")


@pytest.mark.parametrize("service", ["gateway-1", "processor", "projector"])
def test_the_health_check_of_a_service_that_hangs_fails(compose: Compose, service: str) -> None:
    with pytest.raises(ComposeError):
        check_health(compose, service, after="touch -d '20 seconds ago' /dev/shm/heartbeat")
