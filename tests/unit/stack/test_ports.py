import socket

import pytest

from tests.support.ports import free_port
from tollgate.runtime.errors import SettingError
from tollgate.stack.errors import PortTakenError
from tollgate.stack.ports import Port, check_distinct, check_free, needed_ports
from tollgate.stack.settings import read_settings


def test_a_stack_of_its_own_needs_a_port_for_each_program_that_is_not_on_a_socket() -> None:
    ports = needed_ports(read_settings({"DATA_DIR": "/data"}))
    assert {port.number: port.program for port in ports} == {
        9999: "caddy",
        9998: "console",
        9101: "the metrics of gateway-1",
        9102: "the metrics of gateway-2",
        9103: "the metrics of processor",
        9104: "the metrics of projector",
        4222: "nats-server",
        8222: "nats-server",
        8001: "simulator-default",
        8002: "simulator-fallback",
    }


def test_gateways_need_ports_where_their_socket_paths_are_too_long() -> None:
    ports = needed_ports(read_settings({"DATA_DIR": "/" + "d" * 100}))
    assert {9001, 9002} <= {port.number for port in ports}


def test_what_runs_elsewhere_needs_no_port_here() -> None:
    elsewhere = {"DATA_DIR": "/data", "NATS_URL": "nats://broker", "PAYMENT_PROCESSOR_URL_DEFAULT": "http://processor"}
    assert [port.number for port in needed_ports(read_settings(elsewhere))] == [9999, 9998, *range(9101, 9105)]


def test_two_programs_on_one_port_are_refused_with_both_variables() -> None:
    ports = needed_ports(read_settings({"TOLLGATE_PORT": "8002"}))
    with pytest.raises(SettingError, match=r"8002.*TOLLGATE_SIMULATOR_PORT.*TOLLGATE_PORT"):
        check_distinct(ports)


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_port_in_use_is_named_with_its_variable(everywhere: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {number}.*caddy.*TOLLGATE_PORT"):
            check_free([Port(number, "caddy", "TOLLGATE_PORT", everywhere=everywhere)])


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_port_that_is_in_use_for_ipv6_alone_is_in_use() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as other:
        number = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {number}.*caddy.*TOLLGATE_PORT"):
            check_free([Port(number, "caddy", "TOLLGATE_PORT", everywhere=True)])
        check_free([Port(number, "nats-server", "TOLLGATE_NATS_PORT")])


def test_a_port_beyond_the_last_is_refused() -> None:
    with pytest.raises(SettingError, match="65536"):
        check_free([Port(65_536, "simulator-fallback", "TOLLGATE_SIMULATOR_PORT")])


def test_a_free_port_passes_twice() -> None:
    ports = [Port(free_port(), "caddy", "TOLLGATE_PORT")]
    check_free(ports)
    check_free(ports)
