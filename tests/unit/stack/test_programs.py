from typing import Any

import pytest

from tollgate.stack.credentials import USERS, Credentials
from tollgate.stack.programs import Group, Program, choose_programs, program_names, shared_environment
from tollgate.stack.settings import Settings, read_settings

STOP_SECONDS_MAX = 10
CREDENTIALS = Credentials({user: f"password-of-{user}" for user in USERS})


def groups_of(settings: Settings) -> list[Group]:
    return choose_programs(settings, CREDENTIALS if settings.runs_broker else None)


def choose(**environment: str) -> dict[str, Program]:
    groups = groups_of(read_settings({"DATA_DIR": "/data", **environment}))
    return {program.name: program for group in groups for program in group.programs}


def test_everything_runs_and_stops_from_the_edge_down_to_the_broker() -> None:
    assert program_names(groups_of(read_settings({}))) == [
        "nats-server",
        "simulator-default",
        "simulator-fallback",
        "processor",
        "projector",
        "gateway-1",
        "gateway-2",
        "caddy",
        "console",
    ]


def test_all_groups_that_need_their_whole_time_to_stop_still_fit_ten_seconds() -> None:
    assert sum(group.stop_seconds_max for group in groups_of(read_settings({}))) < STOP_SECONDS_MAX


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"NATS_URL": "nats://broker:4222"}, {"nats-server"}),
        ({"PAYMENT_PROCESSOR_URL_FALLBACK": "http://processor"}, {"simulator-default", "simulator-fallback"}),
    ],
)
def test_what_runs_elsewhere_is_not_started_here(environment: dict[str, str], missing: set[str]) -> None:
    assert choose().keys() - choose(**environment).keys() == missing


def test_a_stack_that_charges_nothing_runs_neither_processor_nor_simulators() -> None:
    missing = choose().keys() - choose(TOLLGATE_CHARGES="false").keys()
    assert missing == {"processor", "simulator-default", "simulator-fallback"}


def test_a_group_without_programs_is_left_out() -> None:
    elsewhere = {"NATS_URL": "nats://broker", "PAYMENT_PROCESSOR_URL_DEFAULT": "http://processor"}
    assert [group.name for group in groups_of(read_settings(elsewhere))] == ["workers", "gateways", "edge"]


def test_caddy_finds_the_gateways_on_the_sockets_that_they_listen_on() -> None:
    programs = choose()
    for number in ("1", "2"):
        socket = programs[f"gateway-{number}"].environment["GATEWAY_UDS"]
        assert programs["caddy"].environment[f"TOLLGATE_UPSTREAM_{number}"] == f"unix/{socket}"


def test_caddy_finds_the_gateways_on_ports_where_sockets_cannot_be() -> None:
    programs = choose(DATA_DIR="/" + "d" * 100, TOLLGATE_GATEWAY_PORT="7001")
    for number, port in (("1", "7001"), ("2", "7002")):
        environment: dict[str, Any] = programs[f"gateway-{number}"].environment
        assert "GATEWAY_UDS" not in environment
        assert environment["GATEWAY_PORT"] == port
        assert programs["caddy"].environment[f"TOLLGATE_UPSTREAM_{number}"] == f"127.0.0.1:{port}"


def test_every_service_gets_the_addresses_of_the_others() -> None:
    assert shared_environment(read_settings({"DATA_DIR": "/data", "TOLLGATE_SIMULATOR_PORT": "7001"})) == {
        "DATA_DIR": "/data",
        "NATS_URL": "nats://127.0.0.1:4222",
        "PAYMENT_PROCESSOR_URL_DEFAULT": "http://127.0.0.1:7001",
        "PAYMENT_PROCESSOR_URL_FALLBACK": "http://127.0.0.1:7002",
        "PYTHONUNBUFFERED": "1",
        "NATS_STORE_DIR": '"/data/nats"',
    }


def test_each_program_gets_only_its_own_password() -> None:
    programs = choose()
    known = {
        name: {user for user in USERS if f"password-of-{user}" in repr(program.environment)}
        for name, program in programs.items()
    }
    assert known == {
        "nats-server": set(USERS),
        "simulator-default": set(),
        "simulator-fallback": set(),
        "processor": {"processor"},
        "projector": {"projector"},
        "gateway-1": {"gateway"},
        "gateway-2": {"gateway"},
        "caddy": set(),
        "console": {"console"},
    }
    assert programs["processor"].environment["NATS_URL"] == "nats://processor:password-of-processor@127.0.0.1:4222"


def test_a_password_is_in_no_command_line_and_no_printed_program() -> None:
    for program in choose().values():
        assert "password-of-" not in " ".join(program.command)
        assert "password-of-" not in repr(program)


def test_with_a_broker_elsewhere_every_service_takes_the_url_as_it_is() -> None:
    programs = choose(NATS_URL="nats://me:secret@broker:4222")
    assert not [name for name, program in programs.items() if "NATS_URL" in program.environment]


@pytest.mark.parametrize(
    ("allow_purge", "config"),
    [
        ("", "nats.conf"),
        ("false", "nats.conf"),
        ("0", "nats.conf"),
        ("true", "nats-purge.conf"),
        ("1", "nats-purge.conf"),
    ],
)
def test_the_broker_lets_gateways_purge_only_where_purging_is_on(allow_purge: str, config: str) -> None:
    command = choose(ALLOW_PURGE=allow_purge)["nats-server"].command
    assert command[command.index("--config") + 1].endswith(f"/{config}")


def test_the_fee_of_the_fallback_is_the_dear_one() -> None:
    programs = choose()
    assert programs["simulator-default"].command[-4:] == ("--port", "8001", "--fee", "0.05")
    assert programs["simulator-fallback"].command[-4:] == ("--port", "8002", "--fee", "0.15")
