"""Logs for property tests: the valid histories of several payments, interleaved in any order, with repeats if asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tollgate.contract.events import (
    PROVIDERS,
    Event,
    LedgerPurged,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.payment_state import ACCEPTANCE_SECONDS_MAX
from tollgate.contract.timestamps import MICROSECONDS

PAYMENTS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 5)]
LATE_US = (ACCEPTANCE_SECONDS_MAX + 1) * MICROSECONDS
"""A request that is stored so long after its acceptance may be a repeat."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event at its place in the log."""

    sequence: int
    event: Event
    stored_at_us: int = 0

    @property
    def correlation_id(self) -> str | None:
        return None if isinstance(self.event, LedgerPurged) else self.event.correlation_id


def stored(events: Sequence[Event]) -> list[Stored]:
    """The events at the sequences 1, 2, …, requests as fresh as they are accepted."""
    return [
        Stored(sequence, event, event.accepted_at_us if isinstance(event, PaymentRequested) else 0)
        for sequence, event in enumerate(events, start=1)
    ]


_PATHS = [
    *["released", "released", "open", "in doubt", "processed", "processed", "rejected"],
    *["released by word", "processed by word"],
]
RESOLUTION = ManualResolution("someone", "seen", 77)


@st.composite
def payment_histories(draw: st.DrawFn, payment: str) -> list[Event]:
    """One payment from its request to wherever it has got."""
    amount_cents = draw(st.integers(1, 5_000))
    history: list[Event] = [PaymentRequested(payment, amount_cents, draw(st.integers(0, 100)))]
    for attempt in range(1, draw(st.integers(1, 4))):
        provider = draw(st.sampled_from(PROVIDERS))
        routed = PaymentRouted(payment, amount_cents, attempt, provider, draw(st.integers(0, 50)), "why")
        history.append(routed)
        match draw(st.sampled_from(_PATHS)):
            case "released":
                history.append(PaymentReleased(payment, attempt, provider, "why"))
                continue
            case "released by word":
                history.append(PaymentInDoubt(payment, attempt, provider, "why"))
                history.append(PaymentInDoubt(payment, attempt, provider, "held", RESOLUTION))
                history.append(PaymentReleased(payment, attempt, provider, "why", RESOLUTION))
                continue
            case "processed by word":
                # The first is void: nothing is in doubt yet.
                by_resolution = PaymentProcessed(
                    payment, amount_cents, attempt, provider, routed.requested_at_us, 99, RESOLUTION
                )
                history += [by_resolution, PaymentInDoubt(payment, attempt, provider, "why"), by_resolution]
            case "in doubt":
                history.append(PaymentInDoubt(payment, attempt, provider, "why"))
                if draw(st.booleans()):
                    history.append(
                        PaymentProcessed(payment, amount_cents, attempt, provider, routed.requested_at_us, 99)
                    )
            case "processed":
                history.append(PaymentProcessed(payment, amount_cents, attempt, provider, routed.requested_at_us, 99))
            case "rejected":
                history.append(PaymentRejected(payment, amount_cents, "why"))
        break
    return history


@st.composite
def logs(draw: st.DrawFn) -> list[Stored]:
    """Several payments, each in its own order, interleaved in any way; any request may have been stored late."""
    waiting = [draw(payment_histories(payment)) for payment in PAYMENTS[: draw(st.integers(2, len(PAYMENTS)))]]
    order = draw(st.permutations([index for index, history in enumerate(waiting) for _ in history]))
    log = stored([waiting[index].pop(0) for index in order])
    return [replace(one, stored_at_us=one.stored_at_us + draw(st.sampled_from([0, LATE_US]))) for one in log]


@st.composite
def logs_with_repeats(draw: st.DrawFn) -> tuple[list[Stored], list[Stored]]:
    """A log, and the same one with further copies of its events, each anywhere behind the first. Sequences differ."""
    log = draw(logs())
    repeated = list(log)
    for _ in range(draw(st.integers(1, 5))):
        requests = [index for index, one in enumerate(repeated) if isinstance(one.event, PaymentRequested)]
        source = draw(st.sampled_from(requests) | st.integers(0, len(repeated) - 1))
        place = draw(st.just(len(repeated)) | st.integers(source + 1, len(repeated)))
        copy = repeated[source]
        if isinstance(copy.event, PaymentRequested):
            # The gateway and the broker keep every other repeat of a request out of the log.
            copy = replace(copy, stored_at_us=copy.event.accepted_at_us + LATE_US)
        repeated.insert(place, copy)
    return log, [replace(one, sequence=sequence) for sequence, one in enumerate(repeated, start=1)]
