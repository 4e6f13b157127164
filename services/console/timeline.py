"""A payment as a list of events with a sentence each, and a summary, as JSON for the page. Pure.

Amounts are cents, times milliseconds since the epoch, by the broker's clock.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from tollgate.console.explanation import explain
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
class Entry:
    """An event of the payment, where it is in the log, and when the broker stored it."""

    sequence: int
    stored_at_us: int
    event: Event


@dataclass(frozen=True, slots=True)
class Step:
    """What an event means: a sentence, the recorded reason, and that reason in words if it is known."""

    kind: str
    text: str
    why: str = ""
    explanation: str = ""


def render_payment(view: PaymentView, history: Sequence[Entry]) -> bytes:
    """The payment with its timeline, in the log's order. `missing` events are no longer in the stream."""
    return orjson.dumps(
        {
            "correlationId": view.correlation_id,
            "amountCents": view.amount_cents,
            "state": view.state,
            "missing": len(view.sequences) - len(history),
            "steps": [
                {"sequence": one.sequence, "atMs": one.stored_at_us // 1_000, **asdict(_step(one.event))}
                for one in history
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


def _step(event: Event) -> Step:  # noqa: PLR0911 - a sentence for each event
    match event:
        case PaymentRequested():
            return Step("requested", "Accepted and stored in the log")
        case PaymentRouted():
            text = f"Attempt {event.attempt}: routed to {event.provider}"
            return Step("routed", text, event.why, explain(event.why))
        case PaymentInDoubt():
            verb = "held by an operator" if event.resolution else "in doubt"
            return Step("in_doubt", f"Attempt {event.attempt} at {event.provider}: {verb}", event.why)
        case PaymentReleased():
            text = f"Attempt {event.attempt} at {event.provider}: proven not charged, free to be routed again"
            return Step("released", text, event.why)
        case PaymentProcessed():
            text = f"Attempt {event.attempt}: charged at {event.provider}"
            note = "" if event.resolution is None else f"recorded by {event.resolution.by}: {event.resolution.note}"
            return Step("processed", text, note)
        case PaymentRejected():
            return Step("rejected", "Refused for good by the provider", event.reason)
        case LedgerPurged():
            return Step("purged", "All earlier events are void")
