"""Repeated failures are retried and logged ever more rarely."""

import logging

import pytest

from tollgate.runtime.retries import Retries

logger = logging.getLogger(__name__)


def test_pauses_double_up_to_their_bound_and_lines_become_rare(caplog: pytest.LogCaptureFixture) -> None:
    retries = Retries(logger, "no queue", pause_seconds_min=0.05, pause_seconds_max=5)
    pauses = [retries.failed("refused") for _ in range(1_000)]
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]
    assert pauses[-1] == max(pauses) == 5
    assert [one.message for one in caplog.records[:3]] == [
        "no queue: refused",
        "no queue (2 times): refused",
        "no queue (4 times): refused",
    ]
    assert len(caplog.records) == 10


def test_a_success_resets_the_pauses(caplog: pytest.LogCaptureFixture) -> None:
    retries = Retries(logger, "no queue", pause_seconds_min=0.05, pause_seconds_max=5)
    retries.failed("refused")
    retries.succeeded()
    assert retries.failed("refused") == 0.05
    assert [one.message for one in caplog.records] == ["no queue: refused"] * 2
