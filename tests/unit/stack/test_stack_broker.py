import subprocess
from pathlib import Path

import pytest

from stack.broker import render_broker_config
from stack.errors import SettingError
from stack.settings import read_settings
from support.programs import BIN

PROJECT = Path(__file__).parents[3]
TEMPLATE = (PROJECT / "nats.conf").read_text()


def accepted(config: Path) -> bool:
    checked = subprocess.run([BIN / "nats-server", "-t", "-c", config], capture_output=True, check=False)
    return checked.returncode == 0


def test_the_file_suits_the_broker_as_it_stands() -> None:
    assert accepted(PROJECT / "nats.conf")


def test_every_acknowledgement_is_on_the_disk_unless_the_operator_says_otherwise() -> None:
    assert "\nNATS_SYNC_INTERVAL: always\n" in TEMPLATE
    assert "\nNATS_SYNC_INTERVAL: always\n" in render_broker_config(TEMPLATE, read_settings({}))


def test_the_environment_replaces_the_defaults(tmp_path: Path) -> None:
    environment = {
        "DATA_DIR": "/da ta",
        "NATS_SYNC_INTERVAL": "10s",
        "TOLLGATE_NATS_PORT": "5222",
        "TOLLGATE_NATS_MONITOR_PORT": "5223",
    }
    rendered = render_broker_config(TEMPLATE, read_settings(environment))
    for line in (
        "NATS_SYNC_INTERVAL: 10s",
        'NATS_STORE_DIR: "/da ta/nats"',
        "NATS_PORT: 5222",
        "NATS_MONITOR_PORT: 5223",
    ):
        assert f"\n{line}\n" in rendered
    config = tmp_path / "nats.conf"
    config.write_text(rendered)
    assert accepted(config)


def test_a_file_that_lost_a_name_is_refused() -> None:
    with pytest.raises(SettingError, match="NATS_SYNC_INTERVAL"):
        render_broker_config("port: 4222\n", read_settings({}))
