"""The record that the replicas share about the health endpoints: its content and its encoding. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, get_args

import orjson

from tollgate.contract.errors import TollgateError
from tollgate.contract.events import ProviderName
from tollgate.processor.health.report import Health

PROVIDERS: tuple[ProviderName, ...] = get_args(ProviderName)
MIN_RESPONSE_SECONDS_MAX = 3_600.0
"""A greater figure is treated as invalid."""


class UnreadableHealthError(TollgateError, ValueError):
    """Not what a health endpoint answers; the text gives the reason."""


Answers = Mapping[ProviderName, Health | None]
"""The results of the calls that have ended; None for a failed one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One round of calls: the replica that makes it, its number, and the answers so far.

    It is written first without answers, before the calls, and again after each of them.
    """

    holder: str
    round: int
    answers: Answers = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_finished(self) -> bool:
        """Whether every call of the round has ended."""
        return len(self.answers) == len(PROVIDERS)

    def with_answer(self, provider: ProviderName, health: Health | None) -> "Record":
        return Record(self.holder, self.round, MappingProxyType({**self.answers, provider: health}))


UNREADABLE = Record("an unknown replica", 0)
"""Stands for a record that cannot be read: another replica has written it, and its answers are lost."""


def encode_record(record: Record) -> bytes:
    """JSON, with the answers as the providers give them."""
    answers = {name: None if health is None else _fields(health) for name, health in record.answers.items()}
    return orjson.dumps({"holder": record.holder, "round": record.round, "answers": answers})


def decode_record(payload: bytes) -> Record:
    """The record, or UNREADABLE. Unknown fields are ignored."""
    try:
        fields = orjson.loads(payload)
        answers = {
            name: None if fields["answers"][name] is None else health_from(fields["answers"][name])
            for name in PROVIDERS
            if name in fields["answers"]
        }
        if not isinstance(fields["holder"], str) or type(fields["round"]) is not int:
            return UNREADABLE
        return Record(fields["holder"], fields["round"], MappingProxyType(answers))
    except (ValueError, LookupError, TypeError, AttributeError):
        return UNREADABLE


def health_from(fields: Any) -> Health:
    """The answer of a health endpoint, `{"failing": bool, "minResponseTime": ms}`. Raises UnreadableHealthError."""
    if not isinstance(fields, dict):
        raise UnreadableHealthError("no JSON object")
    failing, milliseconds = fields.get("failing"), fields.get("minResponseTime")
    if not isinstance(failing, bool):
        raise UnreadableHealthError("`failing` is not true or false")
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise UnreadableHealthError("`minResponseTime` is no number")
    if not math.isfinite(milliseconds) or not 0 <= milliseconds / 1000 <= MIN_RESPONSE_SECONDS_MAX:
        raise UnreadableHealthError("`minResponseTime` is out of range")
    return Health(failing, milliseconds / 1000)


def _fields(health: Health) -> dict[str, object]:
    return {"failing": health.failing, "minResponseTime": round(health.min_response_seconds * 1000, 6)}
