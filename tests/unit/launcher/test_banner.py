from dataclasses import replace
from pathlib import Path

import pytest

from tollgate.launcher import banner
from tollgate.stack.settings import read_settings
from tollgate.stack.supervision import State

RUNNING = State("gateway-1", "RUNNING", 7, "pid 7, uptime 0:00:09")
FAILING = State("projector", "BACKOFF", 0, "Exited too quickly (process log may have details)")


@pytest.mark.parametrize("has_uuidgen", [True, False])
def test_the_payment_to_paste_carries_a_new_id_each_time(has_uuidgen: bool) -> None:
    said = banner.ready(read_settings({}), seconds=1, has_uuidgen=has_uuidgen)
    assert ("$(uuidgen)" in said) == has_uuidgen
    assert ("$(python3 -c " in said) != has_uuidgen


def test_a_password_in_the_broker_url_is_not_shown() -> None:
    said = banner.ready(read_settings({"NATS_URL": "nats://me:secret@broker:4222"}), seconds=1, has_uuidgen=True)
    assert "broker:4222" in said
    assert "secret" not in said


def test_a_start_that_fails_names_the_program_that_does_not_run() -> None:
    said = banner.not_ready(read_settings({}), [RUNNING, FAILING], "answers 503", seconds=60)
    assert "projector is BACKOFF" in said
    assert "gateway-1" not in said


def test_a_start_that_waits_reports_for_what() -> None:
    said = banner.not_ready(read_settings({}), [RUNNING], "answers 503 no broker", seconds=60)
    assert said.endswith("/readyz answers 503 no broker.")


def test_paths_below_the_working_directory_are_shown_short() -> None:
    assert banner.shown(Path.cwd() / "data") == "./data"
    assert banner.shown(Path("/elsewhere")) == "/elsewhere"


def test_who_accepts_payments_before_they_are_on_the_disk_is_warned_at_each_start() -> None:
    settings = read_settings({})
    assert "WARNING" not in banner.starting(settings, ["caddy"])
    assert banner.starting(replace(settings, sync_interval="10s"), ["caddy"]).startswith(
        "WARNING: NATS_SYNC_INTERVAL=10s. Payments are accepted before they are on the disk"
    )
    elsewhere = replace(settings, sync_interval="10s", runs_broker=False)
    assert "WARNING" not in banner.starting(elsewhere, ["caddy"]), "the setting is of a broker that is not started"
