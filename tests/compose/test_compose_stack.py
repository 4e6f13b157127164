"""The image and the compose files, run as users run them, within the benchmark's limits."""

import asyncio
import json
import shlex

import aiohttp
import pytest

from qa.load.client import NoAnswerError, Pool
from qa.load.compose import BASE, CONTEST, SERVICES, SIMULATORS, TLS, Compose, ComposeError, docker
from tests.support.conditions import eventually
from tests.support.paying import Account, Payers
from tests.support.ports import free_port

RATE_PER_SECOND = 100
SECONDS = 8
AFTER_SECONDS = 1
BACK_SECONDS_MAX = 6
"""From the end of what was done to a service to the last payment that was refused because of it."""
REFUSE_WHILE_AWAY = {
    "nats": "nothing can be accepted without the log",
    "caddy": "nobody else listens",
}


INSTALLED = """
import importlib.metadata, json, shutil, subprocess
installed = importlib.metadata.distribution("tollgate")
folders = {path.parts[0] for path in installed.files} - {"..", f"tollgate-{installed.version}.dist-info"}
commands = ("log", "backup", "restore", "archive", "status")
print(json.dumps({
    "top level": sorted(folders),
    "programs": sorted(entry.name for entry in installed.entry_points),
    "tools": [name for name in ("supervisord", "pytest", "mypy") if shutil.which(name)],
    "fails": [name for name in commands if subprocess.run(["tollgate", name, "--help"], stdout=-3).returncode],
}))
"""


@pytest.fixture
def payers(compose: Compose) -> Payers:
    return Payers(compose.product, compose.providers, RATE_PER_SECOND)


def assert_kept(account: Account, service: str | None = None) -> None:
    """Every promise: none lost, none twice, and nobody refused but while `service` had to be away."""
    assert account.audit.clean, account.audit
    assert account.summary_equals_provider_records
    assert (account.accepted, account.unknown) == (RATE_PER_SECOND * SECONDS, 0)
    if service not in REFUSE_WHILE_AWAY:
        assert account.refusals == []
    from_seconds, until_seconds = account.happened
    for refusal in account.refusals:
        assert refusal.until_seconds >= from_seconds, refusal
        assert refusal.from_seconds <= until_seconds + BACK_SECONDS_MAX, refusal


def test_the_image_has_one_top_level_package_its_programs_and_no_tools(compose: Compose) -> None:
    in_image = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "operator", "-c")
    assert json.loads(compose.run(*in_image, INSTALLED)) == {
        "top level": ["tollgate"],
        "programs": ["console", "gateway", "processor", "projector", "simulator", "tollgate"],
        "tools": [],
        "fails": [],
    }


async def test_payments_are_charged_once_each_and_summed_exactly(payers: Payers) -> None:
    assert_kept(await payers.pay_during(lambda: None, after_seconds=AFTER_SECONDS, seconds=SECONDS))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_restart_loses_nothing_and_refuses_no_request_that_can_be_served(
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


NOT_ROOT = {"nats": "10002", "caddy": "10003", "gateway-1": "10001", "processor": "10001", "projector": "10001"}


@pytest.mark.parametrize("service", NOT_ROOT)
def test_no_program_is_root_and_none_can_become_it(compose: Compose, service: str) -> None:
    container = compose.containers()[service]
    status = docker("exec", container.id, "cat", "/proc/1/status")
    of = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    assert set(of["Uid"]) == {NOT_ROOT[service]}
    assert of["NoNewPrivs"] == ["1"]
    assert int(of["CapEff"][0], 16) == 0
    (found,) = json.loads(docker("inspect", container.id))
    assert 0 < found["HostConfig"]["PidsLimit"] <= 100


@pytest.mark.parametrize(("service", "folder"), [("nats", "/data"), ("projector", "/data"), ("caddy", "/data")])
def test_folders_with_data_are_for_their_owner_alone(compose: Compose, service: str, folder: str) -> None:
    mode = docker("exec", compose.containers()[service].id, "stat", "-c", "%a %u", folder).split()
    assert mode == ["700", NOT_ROOT[service]]


COMMANDS = (
    ("projector", "status"),
    ("projector", "query", "SELECT count(*) FROM settled_payments"),
    ("projector", "verify"),
    ("projector", "rebuild"),
    ("processor", "status"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_operator_s_command_works_in_the_container_in_one_line(compose: Compose, command: tuple[str, ...]) -> None:
    """Compose finds the credentials, the broker and the files; nothing is set."""
    assert compose.run("run", "--rm", "-T", "operator", *command).strip()


async def purge(compose: Compose) -> int:
    pool = Pool(compose.product, 1)
    try:
        return (await pool.ask(pool.origin.request("POST", "/purge-payments"), timeout_seconds=12)).status
    finally:
        pool.close()


async def test_purging_is_denied_unless_the_benchmark_s_compose_file_is_used(compose: Compose) -> None:
    assert await purge(compose) == 403
    contest = Compose(compose.project, compose.ports, files=(BASE, SIMULATORS, CONTEST))
    try:
        contest.up()

        async def is_purged() -> bool:
            try:
                return await purge(compose) == 200
            except NoAnswerError:
                return False

        await eventually(is_purged, what="the contest's stack is purged", timeout_seconds=60)
    finally:
        compose.up()


async def test_with_https_purging_is_denied_too(compose: Compose) -> None:
    ports = {"TOLLGATE_HTTPS_PORT": str(free_port()), "TOLLGATE_HTTP_PORT": str(free_port())}
    files, environment = (BASE, SIMULATORS, TLS), {"TOLLGATE_SITE": "localhost", **ports}
    stack = Compose(compose.project, compose.ports, files=files, environment=environment)
    url = f"https://localhost:{ports['TOLLGATE_HTTPS_PORT']}"
    try:
        stack.up()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:

            async def status(method: str, path: str) -> int:
                try:
                    async with session.request(method, url + path) as response:
                        return response.status
                except aiohttp.ClientError:
                    return 0

            async def is_ready() -> bool:
                return await status("GET", "/readyz") == 204

            await eventually(is_ready, what="the edge answers over HTTPS", timeout_seconds=60)
            assert await status("POST", "/purge-payments") == 403
    finally:
        compose.up()
