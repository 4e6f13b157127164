"""docker-compose.cluster.yml: three brokers, and two hosts' worth of services. The leader's container is killed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qa.load.compose import BASE, CLUSTER, SIMULATORS, Compose, ComposeError, Ports, docker, why_not
from tests.compose.conftest import PROJECT_NAME, ready
from tests.support.authority import make_authority
from tests.support.paying import Payers
from tests.support.ports import free_port
from tollgate.contract.subjects import STREAM

BROKERS = ("nats", "nats-2", "nats-3")
RATE_PER_SECOND = 20
SECONDS = 16
AFTER_SECONDS = 2
ELECTION_SECONDS_MAX = 12
"""nats-server's 4 to 9 s, and the first acceptances after it."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Compose]:
    """With simulated providers, on free ports; the images are those of the other tests."""
    if (reason := why_not()) is not None:
        pytest.skip(f"the compose stack cannot run here: {reason}")
    authority = make_authority(tmp_path / "certificates", names=BROKERS)
    Path(authority.key).chmod(0o644)
    stack = Compose(
        f"{PROJECT_NAME}-cluster",
        Ports(free_port(), free_port(), free_port()),
        files=(BASE, SIMULATORS, CLUSTER),
        environment={
            "CLUSTER_CERTIFICATES": str(tmp_path / "certificates"),
            "TOLLGATE_PORT_B": str(free_port()),
            "TOLLGATE_VERSION": PROJECT_NAME,
        },
    )
    stack.down()
    stack.build()
    with stack:
        stack.up()
        yield stack


def leader(compose: Compose) -> str:
    """The broker that leads the log."""
    containers = compose.containers()
    for name in BROKERS:
        try:
            told = docker(
                *("exec", containers[name].id, "wget", "-q", "-O", "-", "http://127.0.0.1:8222/jsz?streams=true"),
                timeout_seconds=10,
            )
        except ComposeError:
            continue
        for account in json.loads(told).get("account_details") or ():
            for stream in account.get("stream_detail") or ():
                if stream["name"] == STREAM and stream["cluster"].get("leader"):
                    return str(stream["cluster"]["leader"])
    raise AssertionError("no broker leads the log")


async def test_payments_go_on_when_the_container_of_the_log_s_leader_is_killed(cluster: Compose) -> None:
    try:
        await ready(cluster)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{cluster.logs()}") from None

    def kill() -> None:
        docker("kill", cluster.containers()[leader(cluster)].id)

    payers = Payers(cluster.product, cluster.providers, RATE_PER_SECOND)
    account = await payers.pay_during(kill, after_seconds=AFTER_SECONDS, seconds=SECONDS)
    assert account.audit.clean, account.audit
    assert account.summary_equals_provider_records
    assert (account.accepted, account.unknown) == (RATE_PER_SECOND * SECONDS, 0)
    from_seconds, until_seconds = account.happened
    for refusal in account.refusals:
        assert refusal.until_seconds >= from_seconds, refusal
        assert refusal.from_seconds <= until_seconds + ELECTION_SECONDS_MAX, refusal
