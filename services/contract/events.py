"""The facts that the log holds. Each is immutable; amounts are cents, times microseconds since the epoch (UTC).

The life of a payment:

    PaymentRequested                      accepted; durable before the client is answered
      └─ PaymentRouted (attempt n)        the intent, in the log before the first byte leaves
           ├─ PaymentProcessed            charged: the end
           ├─ PaymentRejected             refused for good: the end
           ├─ PaymentReleased             proven not charged; free to be routed anew
           └─ PaymentInDoubt              the outcome is unknown; from here on only a charge ends the attempt,
                                          or an operator's word

What a sequence of them means is in `contract/payment_state.py`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

ProviderName = Literal["default", "fallback"]
PROVIDERS: tuple[ProviderName, ...] = get_args(ProviderName)


@dataclass(frozen=True, slots=True)
class ManualResolution:
    """Who of the operators said what the event says, when, and why: nobody else can know it of a doubt."""

    by: str
    note: str
    resolved_at_us: int


@dataclass(frozen=True, slots=True)
class PaymentRequested:
    """A client asked for this payment and was, or is about to be, told that it is accepted."""

    correlation_id: str
    amount_cents: int
    accepted_at_us: int


@dataclass(frozen=True, slots=True)
class PaymentRouted:
    """The intent to charge at `processor`. It fixes the bytes of the attempt: sent again, it is sent as it stands."""

    correlation_id: str
    amount_cents: int
    attempt: int
    provider: ProviderName
    requested_at_us: int
    why: str


@dataclass(frozen=True, slots=True)
class PaymentInDoubt:
    """A sending of `attempt` has, or may have, an unknown outcome. It is recorded before it is sent again.

    With a `resolution` an operator holds the attempt, which is in doubt already: nobody sends it any more.
    `request_sequence` is where the payment's request lies in the log; older events do not tell it.
    """

    correlation_id: str
    attempt: int
    provider: ProviderName
    why: str
    resolution: ManualResolution | None = None
    request_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentReleased:
    """`attempt` was not charged, and nothing has taken its place yet: that is proven, or an operator's `word`."""

    correlation_id: str
    attempt: int
    provider: ProviderName
    why: str
    resolution: ManualResolution | None = None


@dataclass(frozen=True, slots=True)
class PaymentProcessed:
    """The payment is charged at `processor`, whose record carries `requested_at_us`.

    The processor said so, or an operator's `word`.
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
    """The payment is refused for good and will never be charged: the processor said so of `attempt`.

    Logs from before attempts could be released by an operator do not name it.
    """

    correlation_id: str
    amount_cents: int
    reason: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerPurged:
    """Everything before this event is void."""

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
