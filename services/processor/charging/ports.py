"""The ports of the payment and doubt handlers: what they need of the log, the providers, the router and the clocks.

Adapters: `GroupCommit` or `Log`, `Follower`, `ProviderClient`, `ProviderLog`, `Router`, `ReadModel`, `Histories`,
`ClockWatch`; `processor/cli.py` joins them. The machine's own clock is a port of `runtime/clock.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tollgate.contract.events import Event, ProviderName
from tollgate.contract.known_ids import Known
from tollgate.contract.read_model_api import PaymentView
from tollgate.messaging.log import Appended
from tollgate.processor.charging.history import History
from tollgate.processor.charging.outcomes import Answer, Attempt, LookupAnswer
from tollgate.processor.charging.provider_log import ProviderEvent
from tollgate.processor.routing import Decision, Outcome
from tollgate.runtime.log_fields import LogFields


class LogAppender(Protocol):
    """Stores events."""

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        """Stores the event durably. Raises BrokerUnavailableError and LogFullError."""


class LogFollower(Protocol):
    """Reads the log into the state cache."""

    @property
    def may_take(self) -> bool:
        """Whether new requests may be taken: the log is the one that was read, and no message of it is missing."""

    async def reached(self, sequence: int, *, timeout_seconds: float) -> None:
        """Waits until the log was read up to `sequence`. Raises BrokerUnavailableError at the bound."""

    async def caught_up(self, provider: ProviderName, *, timeout_seconds: float) -> None:
        """Waits until every doubt at the provider that is in the log now was read. Raises as `reached` does."""


class Providers(Protocol):
    """The payment providers. Neither method raises for the network."""

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt, the same bytes each time."""

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Requests the provider's record of the payment."""


class ProviderNotes(Protocol):
    """Program log lines about providers."""

    def note(self, provider: ProviderName, event: ProviderEvent, text: str, fields: LogFields) -> None:
        """Writes a line."""


class PaymentLookup(Protocol):
    """The read model, as far as the handlers use it."""

    async def payment(self, correlation_id: str, *, timeout_seconds: float) -> PaymentView | None:
        """What is known of the payment; None if nothing. Raises ReadModelUnavailableError."""


class KnownPayments(Protocol):
    """The read model, as far as payments are looked up in it in batches."""

    async def known(self, correlation_ids: Sequence[str], *, timeout_seconds: float, up_to: int | None = None) -> Known:
        """Which of these payments the read model has, complete up to `up_to`. Raises ReadModelUnavailableError."""


class PaymentHistories(Protocol):
    """The events of payments in the log (`Histories`). All methods raise BrokerUnavailableError."""

    async def of(self, correlation_id: str, request_sequence: int | None = None) -> History:
        """All events of the payment. Raises UnknownPaymentError and ReadModelUnavailableError as well."""

    async def at(self, correlation_id: str, sequences: Sequence[int]) -> History:
        """The payment's events at these sequences, which are all it has but its request."""

    async def read_together(self, requests: Mapping[str, int]) -> Mapping[str, History]:
        """All events of these payments, by one reading of the log; `requests` has their requests' sequences."""


class BrokerAlignedClock(Protocol):
    """The time of day, and whether it is near enough to the broker's for an intent's stamp."""

    @property
    def is_right(self) -> bool: ...

    def now_us(self) -> int: ...

    def suspect(self) -> None:
        """A stored time does not fit: `is_right` is false until the broker's clock was measured again."""


class PaymentRouter(Protocol):
    """Where a payment goes. Times are monotonic seconds. A Route takes a place, which the next two give back."""

    def decide(self, now: float, *, amount_cents: int, waited_seconds: float) -> Decision: ...

    def observe(self, provider: ProviderName, outcome: Outcome, now: float, /, *, seconds: float | None) -> None: ...

    def withdraw(self, provider: ProviderName, now: float, /, *, seconds: float) -> None: ...

    def observe_doubts(self, provider: ProviderName, /, *, are_there: bool) -> None: ...


class DoubtRouter(Protocol):
    """When an attempt in doubt is sent again. `resend` takes a place, which the next two give back."""

    def resend_pause_seconds(self, provider: ProviderName, now: float, /) -> float: ...

    def resend(self, provider: ProviderName, now: float, /) -> bool: ...

    def observe_resend(self, provider: ProviderName, outcome: Outcome, now: float, /, *, seconds: float) -> None: ...

    def withdraw_resend(self, provider: ProviderName, now: float, /, *, seconds: float) -> None: ...

    def doubt_ended(self, provider: ProviderName, /) -> None: ...

    def doubt_stays(self, provider: ProviderName, now: float, /) -> None: ...
