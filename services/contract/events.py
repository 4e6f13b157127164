"""The events of the log. Each is immutable; amounts are cents, times microseconds since the epoch (UTC).

The life of a payment:

    PaymentRequested                      accepted; durable before the client is answered
      └─ PaymentRouted (attempt n)        the intent, in the log before the first byte is sent
           ├─ PaymentProcessed            charged: the end
           ├─ PaymentRejected             refused for good: the end
           ├─ PaymentReleased             proven not charged; may be routed anew
           └─ PaymentInDoubt              the outcome is unknown; from here on only a charge or a manual resolution
                                          ends the attempt

`contract/payment_state.py` defines what a sequence of events means.
"""

from dataclasses import dataclass
from typing import Literal, get_args

ProviderName = Literal["default", "fallback"]
PROVIDERS: tuple[ProviderName, ...] = get_args(ProviderName)


@dataclass(frozen=True, slots=True)
class ManualResolution:
    """The operator who resolved a payment in doubt, the reason given, and the time."""

    by: str
    note: str
    resolved_at_us: int


@dataclass(frozen=True, slots=True)
class PaymentRequested:
    """A client requested this payment; the 202 was sent, or is about to be."""

    correlation_id: str
    amount_cents: int
    accepted_at_us: int


@dataclass(frozen=True, slots=True)
class PaymentRouted:
    """The intent to charge at `provider`. It fixes the bytes of the attempt: sent again, it is sent as it stands."""

    correlation_id: str
    amount_cents: int
    attempt: int
    provider: ProviderName
    requested_at_us: int
    why: str


@dataclass(frozen=True, slots=True)
class PaymentInDoubt:
    """A sending of `attempt` has, or may have, an unknown outcome. It is stored before the attempt is sent again.

    With a `resolution` an operator holds the attempt, which is in doubt already: no replica sends it again.
    `request_sequence` is the sequence of the payment's request; older events lack it.
    """

    correlation_id: str
    attempt: int
    provider: ProviderName
    why: str
    resolution: ManualResolution | None = None
    request_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentReleased:
    """`attempt` is proven not charged, or an operator recorded so in `resolution`."""

    correlation_id: str
    attempt: int
    provider: ProviderName
    why: str
    resolution: ManualResolution | None = None


@dataclass(frozen=True, slots=True)
class PaymentProcessed:
    """The payment is charged at `provider`, whose record carries `requested_at_us`.

    The provider's answer proves it, or an operator recorded it in `resolution`.
    """

    correlation_id: str
    amount_cents: int
    attempt: int
    provider: ProviderName
    requested_at_us: int
    processed_at_us: int
    resolution: ManualResolution | None = None


@dataclass(frozen=True, slots=True)
class PaymentRejected:
    """The payment is refused for good and will never be charged: the provider refused `attempt`.

    Logs from before attempts could be released by an operator do not name it.
    """

    correlation_id: str
    amount_cents: int
    reason: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerPurged:
    """All earlier events are void."""

    who: str
    purged_at_us: int


Event = (
    PaymentRequested
    | PaymentRouted
    | PaymentInDoubt
    | PaymentReleased
    | PaymentProcessed
    | PaymentRejected
    | LedgerPurged
)
