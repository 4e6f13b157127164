"""Every setting of every program refuses an invalid value in one line with its name and what is allowed."""

import itertools
from pathlib import Path
from typing import Any

import attrs
import pytest

from tollgate.console.settings import Settings as ConsoleSettings
from tollgate.gateway.settings import Settings as GatewaySettings
from tollgate.processor.settings import Settings as ProcessorSettings
from tollgate.projector.settings import Settings as ProjectorSettings
from tollgate.projector.settings import VerifySettings
from tollgate.runtime.errors import SettingError
from tollgate.runtime.settings import load
from tollgate.stack.settings import Environment as StackSettings

PROGRAMS: tuple[type[Any], ...] = (
    ConsoleSettings,
    GatewaySettings,
    ProcessorSettings,
    ProjectorSettings,
    VerifySettings,
    StackSettings,
)
HERE = str(Path(__file__).parent)
PROVIDER_URLS = ("127.0.0.1:8001", "http://", "http://host:70000", "http://host:0", "ftp://host", "http://ho st", "//h")
NUMBERS = ("abc", "-1000", "nan", "inf", "1e400", "1_0", "\uff19", "1,5", "0x10", "99999999999999999999")
BAD: dict[str, tuple[str, ...]] = {
    "allow_purge": ("ja", "2", "tru"),
    "archive_dir": ("a\nb", __file__),
    "console_host": ("http://127.0.0.1", "a b"),
    "console_port": (*NUMBERS, "0", "65536"),
    "console_token": ("s3cret", "s3cret s3cret s3cret"),
    "data_dir": ("a\nb", __file__),
    "gateway_accept_timeout_seconds": (*NUMBERS, "0", "61"),
    "gateway_host": ("http://127.0.0.1", "a b"),
    "gateway_name": ("a b", "ä", "x" * 65),
    "gateway_port": (*NUMBERS, "0", "65536", "9001.5"),
    "gateway_uds": ("/nowhere/at/all", HERE + "/" + "x" * 100),
    "heartbeat_file": ("/nowhere/at/all", HERE),
    "known_ids_filter_mb": (*NUMBERS, "0"),
    "log_format": ("xml", "JSON", "logfmt"),
    "log_level": ("TRACE", "CRITICAL", "20", "debug,info"),
    "log_bytes_max": (*NUMBERS, "0", "-2", "1024"),
    "log_duplicate_window_seconds": (*NUMBERS, "0", "1.5"),
    "log_missing_accepted": (*NUMBERS, "1.5"),
    "log_replicas": (*NUMBERS, "0", "6"),
    "metrics_host": ("a b", "http://x"),
    "metrics_port": (*NUMBERS, "65536"),
    "nats_ca_file": ("/nowhere/at/all", HERE),
    "nats_sync_interval": ("never", "10", "0s", "10s\nport: 1"),
    "nats_url": ("http://127.0.0.1:4222", "nats://host:x", "nats://host:0", "nats://", "nats://a:s3cret@h/x"),
    "otel_exporter_otlp_endpoint": PROVIDER_URLS,
    "otel_exporter_otlp_protocol": ("grpc", "http/json"),
    "otel_exporter_otlp_traces_endpoint": PROVIDER_URLS,
    "otel_sdk_disabled": ("ja", "2"),
    "otel_service_name": ("a b", "ä"),
    "otel_traces_sampler": ("jaeger_remote", "xray", "ALWAYS_ON"),
    "otel_traces_sampler_arg": (*NUMBERS, "1.01", "50%"),
    "payment_processor_contract_default": ("lax", "Contest"),
    "payment_processor_contract_fallback": ("lax", "Contest"),
    "payment_processor_header_default": ("s3cret", "Host: s3cret", "X-Key: s3cret\nX-Other: 1"),
    "payment_processor_header_fallback": ("s3cret", "Host: s3cret", "X-Key: s3cret\nX-Other: 1"),
    "payment_processor_header_file_default": ("/nowhere/at/all", HERE, __file__),
    "payment_processor_header_file_fallback": ("/nowhere/at/all", HERE, __file__),
    "payment_processor_token": ("tök", "a\nb", " a"),
    "payment_processor_url_default": PROVIDER_URLS,
    "payment_processor_url_fallback": PROVIDER_URLS,
    "processor_concurrency": (*NUMBERS, "1", "10001"),
    "processor_failures_to_open": (*NUMBERS, "0"),
    "processor_health_interval_seconds": (*NUMBERS, "0", "51"),
    "processor_memory_seconds": (*NUMBERS, "0"),
    "processor_outage_patience_seconds": (*NUMBERS, "0"),
    "processor_patience_seconds": (*NUMBERS, "0"),
    "processor_probe_seconds_max": (*NUMBERS, "0"),
    "processor_timeout_seconds": (*NUMBERS, "0", "301"),
    "projector_standby": ("ja", "2"),
    "summary_settle_seconds": (*NUMBERS, "61"),
    "tollgate_charges": ("maybe",),
    "tollgate_console": ("maybe",),
    "tollgate_console_port": (*NUMBERS, "0", "65536"),
    "tollgate_gateway_port": (*NUMBERS, "0", "65536"),
    "tollgate_metrics_port": (*NUMBERS, "65533"),
    "tollgate_nats_monitor_port": (*NUMBERS, "0", "65536"),
    "tollgate_nats_port": (*NUMBERS, "0", "65536"),
    "tollgate_port": (*NUMBERS, "0", "65536"),
    "tollgate_ready_seconds": (*NUMBERS, "0"),
    "tollgate_simulator_port": (*NUMBERS, "0", "65536"),
    "verify_concurrency": (*NUMBERS, "0"),
    "verify_questions_per_second": (*NUMBERS, "0"),
}
SECRETS = {
    "console_token",
    "nats_url",
    "payment_processor_header_default",
    "payment_processor_header_fallback",
    "payment_processor_token",
}
GOOD = {
    "allow_purge": "yes",
    "archive_dir": HERE + "/new/one",
    "data_dir": HERE + "/new/one",
    "gateway_uds": "socket",
    "heartbeat_file": HERE + "/heartbeat",
    "log_bytes_max": "-1",
    "log_format": "json",
    "log_level": "debug",
    "nats_ca_file": __file__,
    "nats_sync_interval": "10s",
    "nats_url": "tls://me:p%2Fw@a:4222,b",
    "payment_processor_contract_default": "strict",
    "payment_processor_header_default": "Authorization: Bearer abc",
    "payment_processor_url_default": "https://host:8443/base/",
    "summary_settle_seconds": "0",
    "gateway_accept_timeout_seconds": "0.2",
}


def names(program: type[Any]) -> list[str]:
    return [field.name for field in attrs.fields(program)]


DECLARED = [(program, name) for program in PROGRAMS for name in names(program)]


@pytest.mark.parametrize(("program", "name"), DECLARED, ids=lambda one: one if isinstance(one, str) else one.__module__)
def test_a_value_that_cannot_be_used_is_refused_in_one_line_with_its_name(program: type[Any], name: str) -> None:
    for value in BAD[name]:
        with pytest.raises(SettingError) as raised:
            load(program, {name.upper(): value})
        line = str(raised.value)
        assert line.startswith(f"{name.upper()} is "), line
        assert ": it must be " in line
        assert "\n" not in line
        assert name in SECRETS or repr(value) in line


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.__module__)
def test_defaults_and_usual_values_are_taken_and_an_empty_one_is_none(program: type[Any]) -> None:
    usual = load(program, {name.upper(): value for name, value in GOOD.items() if name in names(program)})
    assert load(program, dict.fromkeys(map(str.upper, names(program)), "")) == load(program, {})
    assert load(program, {}) != usual or not set(GOOD) & set(names(program))


@pytest.mark.parametrize("value", ["nats://me:s3cret@host/x", "nats://s3cret@host:x"])
def test_a_value_that_may_be_a_password_is_not_shown(value: str) -> None:
    with pytest.raises(SettingError) as raised:
        load(GatewaySettings, {"NATS_URL": value})
    assert "s3cret" not in str(raised.value)
    with pytest.raises(SettingError) as raised:
        load(ProcessorSettings, {"PAYMENT_PROCESSOR_URL_DEFAULT": "htp://me:s3cret@host"})
    assert "s3cret" not in str(raised.value)


def test_a_provider_s_address_is_taken_without_the_slash_at_its_end() -> None:
    settings = load(ProcessorSettings, {"PAYMENT_PROCESSOR_URL_DEFAULT": "https://host:8443/base/"})
    assert settings.payment_processor_url_default == "https://host:8443/base"


def test_a_setting_of_several_programs_means_the_same_in_all_of_them() -> None:
    """Two that share a name have the same default and take the same values; an empty URL is `make run`'s own."""
    services = PROGRAMS[:-1]
    for one, other in itertools.combinations(services, 2):
        for name in set(names(one)) & set(names(other)):
            assert getattr(load(one, {}), name) == getattr(load(other, {}), name)


def test_every_file_that_declares_settings_is_covered() -> None:
    """A new program, or a setting that is declared past `runtime.settings`, is to be tested here, too."""
    services = Path(__file__).parents[3] / "services"
    texts = {str(one.relative_to(services)): one.read_text() for one in services.rglob("*.py")}
    declaring = {path for path, text in texts.items() if "environ.config(" in text}
    assert declaring == {
        *(f"{program}/settings.py" for program in ("console", "gateway", "processor", "projector", "stack")),
        "runtime/settings.py",
    }
    assert not [one for one in declaring - {"runtime/settings.py"} if "environ.var(" in texts[one]]
