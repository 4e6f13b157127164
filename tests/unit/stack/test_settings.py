from pathlib import Path

import pytest

from tollgate.runtime.errors import SettingError
from tollgate.stack.settings import read_settings


def test_without_any_variable_everything_runs_here() -> None:
    settings = read_settings({})
    assert settings.data == Path.cwd() / "data"
    assert settings.edge_url == "http://127.0.0.1:9999"
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.provider_urls == ("http://127.0.0.1:8001", "http://127.0.0.1:8002")
    assert settings.runs_broker
    assert settings.runs_simulators
    assert settings.sync_interval == "always"
    assert not settings.allows_purge


def test_a_variable_set_to_nothing_counts_as_not_set() -> None:
    assert read_settings({"NATS_URL": "", "TOLLGATE_PORT": "", "DATA_DIR": ""}) == read_settings({})


def test_a_moved_broker_port_moves_the_url_that_the_services_get() -> None:
    settings = read_settings({"TOLLGATE_NATS_PORT": "5222"})
    assert settings.nats_url == "nats://127.0.0.1:5222"
    assert settings.runs_broker


def test_a_broker_elsewhere_is_used_and_none_is_started() -> None:
    settings = read_settings({"NATS_URL": "nats://broker:4222"})
    assert settings.nats_url == "nats://broker:4222"
    assert not settings.runs_broker


def test_naming_the_default_broker_does_not_send_it_away() -> None:
    assert read_settings({"NATS_URL": "nats://127.0.0.1:4222"}).runs_broker


@pytest.mark.parametrize("name", ["PAYMENT_PROCESSOR_URL_DEFAULT", "PAYMENT_PROCESSOR_URL_FALLBACK"])
def test_either_processor_url_is_enough_for_no_simulators(name: str) -> None:
    settings = read_settings({name: "http://processor:8080"})
    assert not settings.runs_simulators
    assert "http://processor:8080" in settings.provider_urls


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOLLGATE_PORT", "http"),
        ("TOLLGATE_PORT", "0"),
        ("TOLLGATE_NATS_PORT", "65536"),
        ("TOLLGATE_SIMULATOR_PORT", "-1"),
        ("NATS_SYNC_INTERVAL", "never"),
        ("NATS_SYNC_INTERVAL", "10s\nport: 1"),
        ("TOLLGATE_READY_SECONDS", "soon"),
        ("TOLLGATE_SITE", "pay.example.org"),
        ("DATA_DIR", 'da"ta'),
        ("DATA_DIR", "data;"),
        ("DATA_DIR", "%(here)s"),
        ("DATA_DIR", "da{ta"),
        ("DATA_DIR", "da\nta"),
        ("ALLOW_PURGE", "ja"),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "127.0.0.1:8001"),
        ("NATS_URL", "http://127.0.0.1:4222"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        read_settings({name: value})
