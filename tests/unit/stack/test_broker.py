import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.forked import BIN
from tollgate.stack.broker import broker_arguments, broker_environment, store_environment
from tollgate.stack.credentials import USERS, Credentials
from tollgate.stack.settings import Settings, read_settings

PROJECT = Path(__file__).parents[3]
NATS_CONF = PROJECT / "nats.conf"
CREDENTIALS = Credentials({user: f"p-password-of-{user}" for user in USERS})
NEEDED = ["NATS_STORE_DIR", "NATS_SYNC_INTERVAL", *CREDENTIALS.environment]
ENVIRONMENT = {"NATS_STORE_DIR": "/store", "NATS_SYNC_INTERVAL": "always", **CREDENTIALS.environment}


def check(config: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What nats-server says of a configuration, without starting."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NATS_")}
    return subprocess.run(
        [BIN / "nats-server", "-t", "-c", config], env=clean | environment, capture_output=True, text=True, check=False
    )


def uncommented(*blocks: str) -> str:
    """nats.conf with prepared blocks switched on, as the command in it does."""
    text = NATS_CONF.read_text()
    for block in blocks:
        prepared = re.search(rf"^#{block} {{\n(#.*\n)*?#}}$", text, flags=re.MULTILINE)
        assert prepared, block
        text = text.replace(prepared[0], re.sub("^#", "", prepared[0], flags=re.MULTILINE))
    return text


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate and its key, each under every name that the configuration asks for."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    certificate, key = tmp_path / "broker.pem", tmp_path / "broker.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=nats", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    names = {"NATS_TLS_CERT": certificate, "NATS_TLS_KEY": key, "NATS_CLUSTER_CERT": certificate}
    names |= {"NATS_CLUSTER_KEY": key, "NATS_CLUSTER_CA": certificate}
    return {name: str(path) for name, path in names.items()}


@pytest.mark.parametrize("config", ["nats.conf", "nats-purge.conf"])
def test_with_everything_set_the_broker_takes_the_file(config: str) -> None:
    checked = check(PROJECT / config, ENVIRONMENT)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("config", ["nats.conf", "nats-purge.conf"])
@pytest.mark.parametrize("missing", NEEDED)
def test_the_broker_does_not_start_before_everything_is_set(config: str, missing: str) -> None:
    without = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    checked = check(PROJECT / config, without)
    assert checked.returncode != 0
    assert missing in checked.stdout + checked.stderr


@pytest.mark.parametrize("config", ["nats.conf", "nats-purge.conf"])
@pytest.mark.parametrize("name", list(CREDENTIALS.environment))
@pytest.mark.parametrize("password", ["", "123456", "true", "two words", "[a]"])
def test_a_password_that_the_configuration_would_misread_is_refused(config: str, name: str, password: str) -> None:
    assert check(PROJECT / config, ENVIRONMENT | {name: password}).returncode != 0


def test_the_file_has_no_password_and_listens_on_loopback_alone() -> None:
    text = NATS_CONF.read_text()
    assert set(re.findall(r"password: *([^,\n]*)", text)) == {f"${name}" for name in CREDENTIALS.environment}
    assert '\nhost: "127.0.0.1"\n' in text
    assert '\nhttp: "127.0.0.1:8222"\n' in text


@pytest.mark.parametrize("blocks", [("tls",), ("cluster",), ("tls", "cluster")])
def test_the_prepared_blocks_are_right(tmp_path: Path, certificate: dict[str, str], blocks: tuple[str, ...]) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(uncommented(*blocks))
    cluster = {"NATS_CLUSTER_LISTEN": '"0.0.0.0:6222"', "NATS_CLUSTER_ROUTES": '["nats-route://a:6222"]'}
    checked = check(config, ENVIRONMENT | certificate | cluster)
    assert checked.returncode == 0, checked.stderr
    assert check(config, ENVIRONMENT).returncode != 0


@pytest.mark.parametrize("directory", ["/data", "/da ta", "/dä,ta=1", "/da$ta"])
def test_what_the_stack_gives_the_broker_is_enough(tmp_path: Path, directory: str) -> None:
    settings = given(tmp_path, DATA_DIR=str(tmp_path) + directory, NATS_SYNC_INTERVAL="10s")
    environment = broker_environment(settings, CREDENTIALS) | store_environment(settings)
    checked = check(Path(broker_arguments(settings)[1]), environment)
    assert checked.returncode == 0, checked.stderr


def test_every_acknowledgement_is_on_the_disk_unless_configured_otherwise(tmp_path: Path) -> None:
    assert broker_environment(given(tmp_path), CREDENTIALS)["NATS_SYNC_INTERVAL"] == "always"
    relaxed = given(tmp_path, NATS_SYNC_INTERVAL="10s")
    assert broker_environment(relaxed, CREDENTIALS)["NATS_SYNC_INTERVAL"] == "10s"


def test_moved_ports_reach_the_broker(tmp_path: Path) -> None:
    settings = given(tmp_path, TOLLGATE_NATS_PORT="5222", TOLLGATE_NATS_MONITOR_PORT="5223")
    assert broker_arguments(settings)[2:] == ("--port", "5222", "--http_port", "5223")


def given(tmp_path: Path, **environment: str) -> Settings:
    return read_settings({"DATA_DIR": str(tmp_path / "data"), **environment})
