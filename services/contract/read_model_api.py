"""The read model's API over NATS request/reply: subjects, questions, answers and their encoding.

Gateways and processors ask for summaries and payments, operators for the status and for a snapshot.

Questions and answers are JSON. An error is in the micro protocol's `Nats-Service-Error-Code` header.
"""

from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from typing import Any, Literal

import orjson

from tollgate.contract.clock_offset import ClockOffset
from tollgate.contract.events import PROVIDERS, ProviderName

SERVICE = "projector"
FILES_SERVICE = "projector-files"
SUMMARY = "projector.summary"
PAYMENT = "projector.payment"
STATUS = "projector.status"
CHARGING = "projector.charging"
SNAPSHOT = "projector.snapshot"

SEQUENCES_MAX = 64
"""Events of one payment that are kept: the first, and the latest."""
DOUBTS_MAX = 100
"""Doubts that are listed, the oldest first; the others are only counted. It keeps the answer under 64 KB."""
ADOPT = "projector.adopt"
"""Asks the projector to replace its read model by the rebuilt one beside it."""
ACCEPT_DIFFERENCES = b"accept-differences"
"""The payload that asks for it even if the two differ."""

PaymentStatus = Literal["pending", "routed", "in_doubt", "processed", "rejected"]


@dataclass(frozen=True, slots=True)
class Total:
    """Settled payments at one processor."""

    count: int = 0
    amount_cents: int = 0


@dataclass(frozen=True, slots=True)
class SummaryQuestion:
    """Both bounds are inclusive, in microseconds since the epoch; None leaves that side open.

    `as_of_sequence` asks for the summary as it was when the log ended there, `as_of_us` for that at a time; at most
    one of them is given. Otherwise `asked_at_us` is the time of the question and `log_end` the log's last sequence
    then; without them, both are taken when the question arrives.
    """

    from_us: int | None = None
    to_us: int | None = None
    as_of_sequence: int | None = None
    as_of_us: int | None = None
    asked_at_us: int | None = None
    log_end: int | None = None

    @property
    def is_of_the_past(self) -> bool:
        return self.as_of_sequence is not None or self.as_of_us is not None


@dataclass(frozen=True, slots=True)
class Summary:
    """The answer: totals by processor.

    `settled`: no attempt stamped inside the window is open; `open_attempts` counts those that are. A settled window
    that ended a second ago is final: an attempt is in the log within a second of its stamp, or is never sent.
    `position` is the log's sequence up to which the answer is complete. An answer about the past has only totals and
    position.
    """

    totals: dict[ProviderName, Total] = field(default_factory=lambda: {name: Total() for name in PROVIDERS})
    settled: bool = False
    open_attempts: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class DoubtView:
    """An attempt in doubt, since when and why; `is_held`: an operator is resolving it, and it is not sent again."""

    correlation_id: str
    amount_cents: int
    provider: ProviderName
    attempt: int
    requested_at_us: int
    since_us: int
    why: str
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A payment in the read model; `sequences` are those of its events, in the log's order.

    `doubt` is set while it is in doubt.
    """

    correlation_id: str
    amount_cents: int
    state: PaymentStatus
    sequences: list[int]
    doubt: DoubtView | None = None

    @property
    def request_sequence(self) -> int:
        return self.sequences[0]


@dataclass(frozen=True, slots=True)
class OpenPayment:
    """A payment that has not ended.

    `accepted_at_us` is by the gateway's clock, `stored_at_us` by the broker's; `sequence` is that of its request.
    """

    correlation_id: str
    accepted_at_us: int
    stored_at_us: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Charging:
    """Counts of open payments by state, the oldest doubts (DOUBTS_MAX at most), and the totals by provider."""

    pending: int
    routed: int
    in_doubt: int
    doubts: list[DoubtView]
    totals: dict[ProviderName, Total]
    position: int
    oldest_chargeable: OpenPayment | None = None
    """The oldest payment that has not ended and is not in doubt."""
    oldest_open_sequence: int | None = None
    """The sequence of the oldest request of a payment that has not ended; None when all have."""


@dataclass(frozen=True, slots=True)
class ArchiveEnd:
    """What of the log is archived, and the digest of the archive's last manifest."""

    log_identity: str
    first_sequence: int
    last_sequence: int
    stretches: int
    head: str

    def __str__(self) -> str:
        ends = f"{self.first_sequence} to {self.last_sequence}"
        return f"{ends} in {self.stretches} stretches, head {self.head}"


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a running projector at `position`.

    `settled` and `rejected` count rows; `pending`, `routed` and `in_doubt` count payments that have not ended.
    `committed_at_us` is when its file last changed, `committed_position` the position in it.
    `log_fault` is what is missing of the log, or that it went back; None if nothing.
    `oldest_chargeable` is the oldest open payment that is not in doubt; `oldest_doubt_us` is when the oldest doubt
    began, by the broker's clock. `still_seconds` is how long the position has not moved.
    """

    position: int
    log_identity: str
    settled: int
    rejected: int
    pending: int
    routed: int
    in_doubt: int
    oldest_open: OpenPayment | None
    poison_events: int
    file_bytes: int
    committed_position: int
    committed_at_us: int
    started_at_us: int
    log_fault: str | None = None
    oldest_chargeable: OpenPayment | None = None
    oldest_doubt_us: int | None = None
    still_seconds: float = 0.0
    clock: ClockOffset | None = None
    """The projector's wall clock minus the broker's."""
    archive: ArchiveEnd | None = None
    """The archive that the projector reads; None where it has none."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the read model's file in the projector's folder of snapshots. The caller reads and deletes it."""

    name: str
    position: int
    """The position of the copy."""


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
    if payload == b"null":
        return None
    fields = _object(payload, PaymentView)
    doubt = fields.get("doubt")
    return PaymentView(**{**fields, "doubt": None if doubt is None else DoubtView(**_known(doubt, DoubtView))})


def encode_charging(charging: Charging) -> bytes:
    return orjson.dumps(asdict(charging))


def decode_charging(payload: bytes) -> Charging:
    fields = _object(payload, Charging)
    doubts = [DoubtView(**_known(doubt, DoubtView)) for doubt in fields["doubts"]]
    totals = {name: Total(**total) for name, total in fields["totals"].items()}
    oldest = _open_payment(fields.get("oldest_chargeable"))
    return Charging(**{**fields, "doubts": doubts, "totals": totals, "oldest_chargeable": oldest})


def encode_status(status: Status) -> bytes:
    return orjson.dumps(asdict(status))


def decode_status(payload: bytes) -> Status:
    fields = _object(payload, Status)
    oldest = {name: _open_payment(fields.get(name)) for name in ("oldest_open", "oldest_chargeable")}
    clock, archive = fields.get("clock"), fields.get("archive")
    return Status(
        **{
            **fields,
            **oldest,
            "clock": None if clock is None else ClockOffset(**clock),
            "archive": None if archive is None else ArchiveEnd(**_known(archive, ArchiveEnd)),
        }
    )


def _open_payment(fields: dict[str, Any] | None) -> OpenPayment | None:
    return None if fields is None else OpenPayment(**_known(fields, OpenPayment))


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return orjson.dumps(asdict(snapshot))


def decode_snapshot(payload: bytes) -> Snapshot:
    return Snapshot(**_object(payload, Snapshot))


def _object(payload: bytes, kind: type) -> dict[str, Any]:
    fields = orjson.loads(payload)
    if not isinstance(fields, dict):
        raise ValueError(  # noqa: TRY004 - one error for every kind of bad payload
            f"not a {kind.__name__}: {payload[:80]!r}"
        )
    return _known(fields, kind)


def _known(fields: dict[str, Any], kind: type) -> dict[str, Any]:
    """The fields that this version has."""
    known = {one.name for one in dataclass_fields(kind)}
    return {name: value for name, value in fields.items() if name in known}
