"""Many events are one line at once, and a count every few seconds."""

import pytest

from tests.support.conditions import eventually
from tollgate.processor.charging import provider_log
from tollgate.processor.charging.provider_log import ProviderLog


async def test_the_first_is_a_line_at_once_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(provider_log, "REPORT_SECONDS", 0.05)
    log = ProviderLog()
    for number in range(500):
        log.note("default", "payments answered outside of its contract", f"status 401, number {number}")
    first = "default: payments answered outside of its contract: status 401, number 0"
    assert caplog.messages == [first]

    async def is_reported() -> bool:
        return len(caplog.messages) > 1

    await eventually(is_reported, what="the count is written")
    assert "499 more in 0.05 s, the newest: status 401, number 499" in caplog.messages[1]


async def test_each_provider_and_each_subject_has_its_own_lines(caplog: pytest.LogCaptureFixture) -> None:
    log = ProviderLog()
    for _ in range(2):
        log.note("default", "lookups", "x")
        log.note("default", "payments", "x")
        log.note("fallback", "payments", "x")
    assert caplog.messages == ["default: lookups: x", "default: payments: x", "fallback: payments: x"]


async def test_after_a_quiet_time_the_next_answer_is_a_line_at_once_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(provider_log, "REPORT_SECONDS", 0.01)
    log = ProviderLog()
    log.note("default", "payments", "x")

    async def is_over() -> bool:
        return not log._folded

    await eventually(is_over, what="the time is over")
    log.note("default", "payments", "y")
    assert caplog.messages == ["default: payments: x", "default: payments: y"]
