"""A payment as a list of events with a sentence each, and a summary, as JSON for the page. Pure.

Amounts are cents, times milliseconds since the epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.read_model_api import PaymentView, Summary


@dataclass(frozen=True, slots=True)
class Step:
    """One event: its sequence in the log, its time if it has one, and a sentence; `why` is the recorded reason."""

    sequence: int
    kind: str
    at_ms: int | None
    text: str
    why: str


def render_payment(view: PaymentView, history: Sequence[tuple[int, Event]]) -> bytes:
    """The payment with its timeline, in the log's order."""
    steps = [_step(sequence, event) for sequence, event in history]
    return orjson.dumps(
        {
            "correlationId": view.correlation_id,
            "amountCents": view.amount_cents,
            "state": view.state,
            "steps": [
                {"sequence": one.sequence, "kind": one.kind, "atMs": one.at_ms, "text": one.text, "why": one.why}
                for one in steps
            ],
        }
    )


def render_summary(summary: Summary, *, is_of_the_past: bool) -> bytes:
    """The totals; an answer about the past cannot say whether its window is settled."""
    return orjson.dumps(
        {
            "totals": {
                name: {"count": total.count, "amountCents": total.amount_cents}
                for name, total in summary.totals.items()
            },
            "isSettled": None if is_of_the_past else summary.settled,
            "openAttempts": None if is_of_the_past else summary.open_attempts,
            "position": summary.position,
        }
    )


def _step(sequence: int, event: Event) -> Step:  # noqa: PLR0911 - a sentence for each event
    match event:
        case PaymentRequested():
            return Step(sequence, "requested", _ms(event.accepted_at_us), "Accepted and stored in the log", "")
        case PaymentRouted():
            text = f"Attempt {event.attempt}: routed to {event.provider}"
            return Step(sequence, "routed", _ms(event.requested_at_us), text, event.why)
        case PaymentInDoubt():
            verb = "held by an operator" if event.resolution else "in doubt"
            return Step(sequence, "in_doubt", _resolved(event), f"Attempt {event.attempt}: {verb}", event.why)
        case PaymentReleased():
            text = f"Attempt {event.attempt}: proven not charged, free to be routed again"
            return Step(sequence, "released", _resolved(event), text, event.why)
        case PaymentProcessed():
            text = f"Attempt {event.attempt}: charged at {event.provider}"
            note = "" if event.resolution is None else f"recorded by {event.resolution.by}: {event.resolution.note}"
            return Step(sequence, "processed", _ms(event.processed_at_us), text, note)
        case PaymentRejected():
            return Step(sequence, "rejected", None, "Refused for good by the provider", event.reason)
        case LedgerPurged():
            return Step(sequence, "purged", _ms(event.purged_at_us), "All earlier events are void", "")


def _resolved(event: PaymentInDoubt | PaymentReleased) -> int | None:
    return None if event.resolution is None else _ms(event.resolution.resolved_at_us)


def _ms(moment_us: int) -> int:
    return moment_us // 1_000
