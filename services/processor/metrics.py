"""The metrics of a processor."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tollgate.contract.events import (
    PROVIDERS,
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRouted,
    ProviderName,
)
from tollgate.contract.fees import fee_cents, saved_cents
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.processor.intake.progress import Progress
from tollgate.processor.routing import Route, Router
from tollgate.processor.routing.provider_state import ProviderState
from tollgate.runtime.metrics import SECONDS_BUCKETS, clock_gauge, watch, watch_clock

M = TypeVar("M", Counter, Gauge, Histogram)

REASONS = ("cheapest", "only choice", "overflow", "patience is over", "probe")
"""The rules by which the router chooses: the text of its reason up to the first colon."""
OUTCOMES = ("Charged", "Duplicate", "Refused", "NotReached", "Failed", "Unknown", "OutsideContract")
"""What a call came to (processor/charging/outcomes.py)."""
BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}


class ProcessorMetrics:
    """What this replica did. Events are counted when the broker has acknowledged them; a void one is counted, too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clock_offset = clock_gauge(registry)
        provider = ["provider"]
        self._call_seconds = _by_provider(
            Histogram(
                "tollgate_provider_call_duration_seconds",
                "From sending an attempt to the provider's answer, or to giving up.",
                provider,
                registry=registry,
                buckets=SECONDS_BUCKETS,
            )
        )
        calls = Counter(
            "tollgate_provider_calls",
            "Attempts sent, by outcome.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._calls = {(name, outcome): calls.labels(name, outcome) for name in PROVIDERS for outcome in OUTCOMES}
        decisions = Counter(
            "tollgate_routing_decisions",
            "Decisions to send a payment, by provider and rule.",
            ["provider", "reason"],
            registry=registry,
        )
        self._decisions = {(name, reason): decisions.labels(name, reason) for name in PROVIDERS for reason in REASONS}
        self._routed = _by_provider(Counter("tollgate_attempts_routed", "Intents stored.", provider, registry=registry))
        self._settled = _by_provider(
            Counter("tollgate_payments_settled", "Charges stored.", provider, registry=registry)
        )
        self._cents = _by_provider(
            Counter("tollgate_settled_cents", "The sum of the charges stored.", provider, registry=registry)
        )
        self._fees = _by_provider(
            Counter("tollgate_fees_paid_cents", "The fees of the charges stored.", provider, registry=registry)
        )
        self._saved = Counter(
            "tollgate_fees_saved_cents",
            "What the charges stored would have cost more at the more expensive provider.",
            registry=registry,
        )
        self._rejected = Counter("tollgate_payments_rejected", "Rejections stored.", registry=registry)
        self._released = _by_provider(
            Counter("tollgate_attempts_released", "Attempts found not charged.", provider, registry=registry)
        )
        self._in_doubt = _by_provider(
            Counter("tollgate_attempts_in_doubt", "Attempts put in doubt.", provider, registry=registry)
        )
        self._void = _by_provider(
            Counter("tollgate_intents_void", "Intents stored and not sent.", provider, registry=registry)
        )
        self.breaker = _by_provider(
            Gauge(
                "tollgate_provider_breaker_state",
                "The circuit breaker: 0 closed, 1 half-open, 2 open.",
                provider,
                registry=registry,
            )
        )
        self._failing = _by_provider(
            Gauge(
                "tollgate_provider_failing",
                "1 if the provider's own health endpoint reports that it fails.",
                provider,
                registry=registry,
            )
        )
        self.calls_under_way = _by_provider(
            Gauge("tollgate_provider_calls_under_way", "Calls that have no answer yet.", provider, registry=registry)
        )
        self.in_hand = Gauge("tollgate_payments_in_hand", "Payments that this replica works on.", registry=registry)
        self.is_charging = Gauge(
            "tollgate_processor_may_charge", "1 if nothing known keeps this replica from charging.", registry=registry
        )

    def watch(self, router: Router, progress: Progress, in_hand: Callable[[], int], clock: BrokerClock) -> None:
        """Reads the states from these whenever somebody asks."""
        for name in PROVIDERS:
            provider = router.provider_state(name)
            watch(self.breaker[name], partial(_breaker_state, provider))
            watch(self.calls_under_way[name], partial(getattr, provider, "in_flight"))
        watch(self.in_hand, in_hand)
        watch(self.is_charging, lambda: not progress.obstacle())
        watch_clock(self.clock_offset, clock.offset)

    def health(self, provider: ProviderName, *, failing: bool) -> None:
        """The provider's health endpoint answered."""
        self._failing[provider].set(failing)

    def called(self, provider: ProviderName, outcome: str, seconds: float) -> None:
        """An attempt was sent; `outcome` is one of OUTCOMES."""
        self._call_seconds[provider].observe(seconds)
        self._calls[provider, outcome].inc()

    def decided(self, route: Route) -> None:
        """A payment was routed."""
        self._decisions[route.provider, route.why.split(":", 1)[0]].inc()

    def void(self, provider: ProviderName) -> None:
        """An intent must not be sent."""
        self._void[provider].inc()

    def stored(self, events: Sequence[Event]) -> None:
        """The broker has acknowledged these events of one message: they have the same type and provider."""
        count = len(events)
        match events[0]:
            case PaymentProcessed(provider=provider):
                self._settle(provider, [event.amount_cents for event in events if isinstance(event, PaymentProcessed)])
            case PaymentRouted(provider=provider):
                self._routed[provider].inc(count)
            case PaymentInDoubt(provider=provider):
                self._in_doubt[provider].inc(count)
            case PaymentReleased(provider=provider):
                self._released[provider].inc(count)
            case PaymentRejected():
                self._rejected.inc(count)

    def _settle(self, provider: ProviderName, amounts_cents: Sequence[int]) -> None:
        self._settled[provider].inc(len(amounts_cents))
        self._cents[provider].inc(sum(amounts_cents))
        self._fees[provider].inc(sum(fee_cents(provider, cents) for cents in amounts_cents))
        self._saved.inc(sum(max(saved_cents(provider, cents), 0) for cents in amounts_cents))


def _breaker_state(provider: ProviderState) -> int:
    return BREAKER_STATES[provider.breaker.state]


def _by_provider(metric: M) -> dict[ProviderName, M]:
    """The metric's child of each provider: found once, not for each payment."""
    return {name: metric.labels(name) for name in PROVIDERS}
