"""The two forms of a line: text for people, JSON with the documented fields."""

import json
import logging
from types import TracebackType
from typing import Any, get_args

import pytest

from tollgate.runtime.log_fields import EVENTS, FIELDS, LogEvent, LogFields, about, documented
from tollgate.runtime.log_formats import JsonFormatter, TextFormatter


def record(message: str, *values: object, fields: LogFields | None = None, **others: Any) -> logging.LogRecord:
    made = logging.getLogger("tollgate.tests").makeRecord(
        *("tollgate.tests", logging.WARNING, "file.py", 1, message, values, None), extra={**(fields or {}), **others}
    )
    made.created = 1_795_821_267.031415
    return made


def raised(text: str) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError(text)
    return caught.type, caught.value, caught.tb


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter("processor", "host-1-abc").format(made)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_line_of_text_has_time_level_module_and_message() -> None:
    line = TextFormatter().format(record("%s fails", "default", fields=about(provider="default")))
    assert line == "2026-11-27T23:14:27Z WARNING tollgate.tests: default fails"


def test_a_json_line_has_the_documented_fields_in_their_order() -> None:
    values: dict[str, Any] = {name: 2 if name in {"attempt", "sequence", "waiting"} else "x" for name in FIELDS}
    made = record("it %s", "fails", repeated=12, **values)
    made.exc_info = raised("why")
    line = as_json(made)
    assert list(line) == list(documented())
    assert line["time"] == "2026-11-27T23:14:27.031415Z"
    assert (line["level"], line["program"], line["instance"]) == ("WARNING", "processor", "host-1-abc")
    assert (line["logger"], line["message"], line["repeated"]) == ("tollgate.tests", "it fails", 12)
    assert line["exception"].startswith("Traceback ")
    assert line["exception"].endswith("RuntimeError: why")


def test_a_field_that_is_not_documented_is_left_out() -> None:
    line = as_json(record("x", fields=about(attempt=1), authorization="Bearer s3cret", color_message="x"))
    assert list(line) == ["time", "level", "program", "instance", "logger", "message", "attempt"]


@pytest.mark.parametrize("text", ["a\n2026-11-27T23:14:27Z INFO forged: x", "a\r\x1b[2Jb", "\u2028", "\ud800"])
def test_what_others_sent_can_neither_forge_a_line_nor_break_one(text: str) -> None:
    line = TextFormatter().format(record("the provider answered %s", text))
    assert line.isprintable()
    assert as_json(record("the provider answered %s", text))["message"] == f"the provider answered {text}"


def test_a_traceback_for_people_is_indented_below_its_line() -> None:
    made = record("it fails")
    made.exc_info = raised("x\n2026-11-27T23:14:27Z INFO forged: x")
    first, *trace = TextFormatter().format(made).splitlines()
    assert first.endswith("it fails")
    assert trace
    assert all(line.startswith("  ") for line in trace)


def test_a_value_that_json_cannot_hold_is_written_as_text() -> None:
    line = as_json(record("x", sequence=2**80, reason=ValueError("why")))
    assert (line["sequence"], line["reason"]) == (2**80, "why")


def test_every_event_is_documented() -> None:
    assert list(EVENTS) == sorted(get_args(LogEvent))
