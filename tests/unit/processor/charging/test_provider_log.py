"""Lines about providers: their text for people, their fields, their level."""

import logging
from typing import get_args

import pytest

from tollgate.processor.charging.provider_log import SUBJECTS, ProviderEvent, ProviderLog
from tollgate.runtime.folded_lines import kind_of
from tollgate.runtime.log_fields import EVENTS, about


def test_a_line_has_the_provider_the_event_and_what_is_known_of_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    fields = about(correlation_id="4a79", attempt=2, reason="status 401")
    ProviderLog().note("default", "answer_outside_contract", "status 401; in doubt (4a79)", fields)
    assert caplog.messages == ["default: payments answered outside of its contract: status 401; in doubt (4a79)"]
    given = caplog.records[0].__dict__
    assert given["event"] == "answer_outside_contract"
    assert (given["provider"], given["correlation_id"], given["attempt"]) == ("default", "4a79", 2)
    assert given["reason"] == "status 401"


def test_lines_of_one_provider_and_event_are_of_one_kind(caplog: pytest.LogCaptureFixture) -> None:
    log = ProviderLog()
    for number in range(2):
        log.note("default", "lookup_outside_contract", f"status {number}", {})
        log.note("default", "answer_outside_contract", f"status {number}", {})
        log.note("fallback", "answer_outside_contract", f"status {number}", {})
    kinds = [kind_of(record) for record in caplog.records]
    assert kinds[:3] == kinds[3:]
    assert len(set(kinds)) == 3


def test_each_event_has_a_subject_and_good_news_are_no_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert set(SUBJECTS) == set(get_args(ProviderEvent)) <= set(EVENTS)
    for event in get_args(ProviderEvent):
        ProviderLog().note("default", event, "x", {})
    infos = {record.__dict__["event"] for record in caplog.records if record.levelno == logging.INFO}
    assert infos == {"breaker_closed", "doubt_ended"}
