"""The log's stream, its fixed subjects, and the message id of each event.

The subjects do not contain the payment's id: the server keeps about 150 bytes of memory for every subject, so its
memory would grow with the log.
"""

from collections.abc import Mapping

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
    ProviderName,
)

STREAM = "PAYMENTS"
REQUESTED = "payments.requested"
PURGED = "payments.purged"
SUBJECTS = (
    REQUESTED,
    "payments.routed.*",
    "payments.in_doubt.*",
    "payments.released.*",
    "payments.processed.*",
    "payments.rejected",
    PURGED,
)
CONSUMER = "processor"
"""The durable consumer of PaymentRequested that all processor replicas share."""
DOUBTS_CONSUMERS: Mapping[ProviderName, str] = {name: f"doubts-{name}" for name in PROVIDERS}
"""The durable consumers of PaymentInDoubt, one for each provider, shared in the same way."""
RELEASED_CONSUMER = "released"
"""The durable consumer of PaymentReleased, shared in the same way."""
CONSUMERS = (CONSUMER, *DOUBTS_CONSUMERS.values(), RELEASED_CONSUMER)

MESSAGE_BYTES_MAX = 16_384
"""The largest message. One event is under 1 KB, with an operator's note under 8 KB; a full batch is under 13 KB."""


_SUBJECT_OF: Mapping[tuple[type[Event], ProviderName | None], str] = {
    (PaymentRequested, None): REQUESTED,
    (PaymentRejected, None): "payments.rejected",
    (LedgerPurged, None): PURGED,
    **{(PaymentRouted, name): f"payments.routed.{name}" for name in PROVIDERS},
    **{(PaymentInDoubt, name): f"payments.in_doubt.{name}" for name in PROVIDERS},
    **{(PaymentReleased, name): f"payments.released.{name}" for name in PROVIDERS},
    **{(PaymentProcessed, name): f"payments.processed.{name}" for name in PROVIDERS},
}


def subject_of(event: Event) -> str:
    """The subject that the event is published on; under any other it is not valid (contract/batch.py)."""
    match event:
        case PaymentRouted() | PaymentInDoubt() | PaymentReleased() | PaymentProcessed():
            return _SUBJECT_OF[type(event), event.provider]
        case _:
            return _SUBJECT_OF[type(event), None]


def message_id_of(event: Event) -> str | None:  # noqa: PLR0911 - a row of the table each
    """The Nats-Msg-Id by which the broker drops repeats inside its duplicate window; None where repeats are allowed."""
    match event:
        case PaymentRequested():
            return event.correlation_id
        case PaymentRouted():
            return f"{event.correlation_id}:routed:{event.attempt}"
        case PaymentInDoubt():
            return f"{event.correlation_id}:in_doubt:{event.attempt}{_suffix(event.resolution)}"
        case PaymentReleased():
            return f"{event.correlation_id}:released:{event.attempt}{_suffix(event.resolution)}"
        case PaymentProcessed():
            return f"{event.correlation_id}:processed{_suffix(event.resolution)}"
        case PaymentRejected():
            return f"{event.correlation_id}:rejected" + ("" if event.attempt is None else f":{event.attempt}")
        case LedgerPurged():
            return None


def _suffix(resolution: ManualResolution | None) -> str:
    """Makes the id of a manual resolution distinct: a void one must not make the broker drop a replica's own event."""
    return "" if resolution is None else f":{resolution.resolved_at_us}"
