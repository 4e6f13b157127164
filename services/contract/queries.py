"""What gateways and processors ask of the read model over NATS request/reply: subjects, questions and answers.

Questions and answers are JSON. A fault is told by the micro protocol's `Nats-Service-Error-Code` header.
"""

from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from typing import Any, Literal

import orjson

from contract.events import PROCESSORS, ProcessorName

SERVICE = "projector"
SUMMARY = "projector.summary"
PAYMENT = "projector.payment"
STATUS = "projector.status"
ADOPT = "projector.adopt"
"""Asks the projector to go on with the read model that was rebuilt beside its own."""
ACCEPT_DIFFERENCES = b"accept-differences"
"""What asks for it even if the two differ."""

PaymentState = Literal["pending", "routed", "in_doubt", "processed", "rejected"]


@dataclass(frozen=True, slots=True)
class Total:
    """Settled payments at one processor."""

    count: int = 0
    amount_cents: int = 0


@dataclass(frozen=True, slots=True)
class SummaryQuestion:
    """Both bounds are inclusive, in microseconds since the epoch; None leaves that side open.

    `as_of_sequence` asks for the summary as it was when the log ended there, `as_of_us` for that of a moment; at most
    one of them is given.
    """

    from_us: int | None = None
    to_us: int | None = None
    as_of_sequence: int | None = None
    as_of_us: int | None = None

    @property
    def is_of_the_past(self) -> bool:
        return self.as_of_sequence is not None or self.as_of_us is not None


@dataclass(frozen=True, slots=True)
class Summary:
    """The answer: totals by processor.

    `settled` says that no attempt stamped inside the window is open; `open_attempts` counts those that are. A settled
    window that ended a second ago is final: an attempt is in the log within a second of its stamp, or is never sent.
    `position` is the log's sequence that the answer holds everything up to. Of the past only totals and position are
    told.
    """

    totals: dict[ProcessorName, Total] = field(default_factory=lambda: {name: Total() for name in PROCESSORS})
    settled: bool = False
    open_attempts: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A payment as the read model knows it; `sequences` are those of its events, in the log's order."""

    correlation_id: str
    amount_cents: int
    state: PaymentState
    sequences: list[int]

    @property
    def request_sequence(self) -> int:
        return self.sequences[0]


def encode_question(question: SummaryQuestion) -> bytes:
    return orjson.dumps(asdict(question))


def decode_question(payload: bytes) -> SummaryQuestion:
    """Raises ValueError for anything that `encode_question` did not write."""
    fields = _object(payload, SummaryQuestion)
    if any(value is not None and type(value) is not int for value in fields.values()):
        raise ValueError(f"not a SummaryQuestion: {payload[:80]!r}")
    return SummaryQuestion(**fields)


def encode_summary(summary: Summary) -> bytes:
    return orjson.dumps(asdict(summary))


def decode_summary(payload: bytes) -> Summary:
    fields = _object(payload, Summary)
    return Summary(**{**fields, "totals": {name: Total(**total) for name, total in fields["totals"].items()}})


def encode_payment(view: PaymentView | None) -> bytes:
    return orjson.dumps(None if view is None else asdict(view))


def decode_payment(payload: bytes) -> PaymentView | None:
    return None if payload == b"null" else PaymentView(**_object(payload, PaymentView))


def _object(payload: bytes, kind: type) -> dict[str, Any]:
    fields = orjson.loads(payload)
    if not isinstance(fields, dict):
        raise ValueError(  # noqa: TRY004 - one error for every kind of bad payload
            f"not a {kind.__name__}: {payload[:80]!r}"
        )
    known = {one.name for one in dataclass_fields(kind)}
    return {name: value for name, value in fields.items() if name in known}
