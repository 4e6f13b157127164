"""The two forms of a line of the program log: for people, and as JSON."""

import json
import logging
import time
from datetime import UTC, datetime
from textwrap import indent
from typing import Literal

import orjson

from tollgate.runtime.log_fields import FIELDS

LogFormat = Literal["text", "json"]


def repeated(record: logging.LogRecord) -> int:
    """How many lines the record stands for."""
    count: int = getattr(record, "repeated", 1)
    return count


class TextFormatter(logging.Formatter):
    """One line: time in UTC, level, module, message. A traceback follows it, indented.

    Nothing that others sent can forge a line: characters that are not printable are escaped.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is that of `logging`
        line = super().formatMessage(record)
        if (count := repeated(record)) > 1:
            line += f" (the newest of {count})"
        return line if line.isprintable() else _escaped(line)

    def formatException(self, ei: object) -> str:  # noqa: N802
        return indent(super().formatException(ei), "  ")  # type: ignore[arg-type]


class JsonFormatter(logging.Formatter):
    """One JSON object on one line, with the fields of `log_fields.py` and no others."""

    def __init__(self, program: str, instance: str) -> None:
        super().__init__()
        self._source = {"program": program, "instance": instance}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": record.levelname,
            **self._source,
            "logger": record.name,
            "message": record.getMessage(),
        }
        given = record.__dict__
        line.update((name, given[name]) for name in FIELDS if given.get(name) is not None)
        if (count := repeated(record)) > 1:
            line["repeated"] = count
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except orjson.JSONEncodeError:
            # A text that is no valid Unicode, or a number beyond 64 bits. This one is slow, and writes everything.
            return json.dumps(line, default=str)


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
