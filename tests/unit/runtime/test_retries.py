"""Pauses between retries double up to their bound, and each failure is a line of the operation's own kind."""

import logging

import pytest

from tollgate.runtime.folded_lines import kind_of
from tollgate.runtime.retries import Retries

logger = logging.getLogger(__name__)


def test_pauses_double_up_to_their_bound(caplog: pytest.LogCaptureFixture) -> None:
    retries = Retries(logger, "no queue", pause_seconds_min=0.05, pause_seconds_max=5)
    pauses = [retries.failed("refused") for _ in range(1_000)]
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]
    assert pauses[-1] == max(pauses) == 5
    assert set(caplog.messages) == {"no queue: refused"}


def test_a_success_resets_the_pauses() -> None:
    retries = Retries(logger, "no queue", pause_seconds_min=0.05, pause_seconds_max=5)
    retries.failed("refused")
    retries.succeeded()
    assert retries.failed("refused") == 0.05


def test_failures_of_one_operation_are_folded_whatever_their_reason_and_not_with_another_s(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for what, why in (("no queue", "refused"), ("no queue", "100 % full"), ("100 % of nothing", "refused")):
        Retries(logger, what, pause_seconds_min=0.05, pause_seconds_max=5).failed(why)
    assert caplog.messages == ["no queue: refused", "no queue: 100 % full", "100 % of nothing: refused"]
    one, same, other = map(kind_of, caplog.records)
    assert one == same != other
