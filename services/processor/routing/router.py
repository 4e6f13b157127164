"""The router: the expensive provider only if the cheap one would settle the payment more than `patience` later.

The cheap one is slow: fee and expected time are added up, a second priced so that `patience` costs the difference of
the fees. It is full: payments wait in the queue if that will clear within `patience`, else the overflow goes to the
expensive one at once. It is down: a payment waits until waiting, and then clearing the queue, would take longer than
`outage_patience`; less in a long outage, because a provider that has been down for long is not expected back soon. Both
were down and the expensive one is back: the cheap one is probed before payments go to the expensive one.
"""

from math import inf

from tollgate.contract.events import ProviderName
from tollgate.processor.health.report import Health
from tollgate.processor.routing.backlog import Backlog
from tollgate.processor.routing.decision import Decision, Route, Wait, gain
from tollgate.processor.routing.estimator import Chance
from tollgate.processor.routing.policy import Policy
from tollgate.processor.routing.provider_state import OnBreaker, Outcome, ProviderState, ignore_breaker

OVERDUE_BATCH = 64
"""How many payments are taken from the queue at once to check whether their patience is over."""
OVERDUE_SLACK_SECONDS = 0.5
"""Patience that ends within this counts as over: that saves a redelivery."""
OVERFLOW_SECONDS = 0.25
"""A queue that the cheap provider clears within this is no overflow."""
WAIT_SECONDS = 0.5
"""The pause of a payment that is put back. Nothing is taken while there is no place, so this is no polling."""
OUTAGE_PATIENCES = 4.0
"""An outage of more than this many patiences is long: from then on patience shrinks as the outage grows."""
RETRY_PAUSE_SECONDS = 0.25
"""What a failed call costs besides its own time."""
ARRIVALS_MARGIN = 1.25
"""Places are kept for this many times the arrivals, so that a queue that has built up shrinks."""
TURN_SECONDS = 0.04
"""How long a place is empty between two payments: the next is pulled, delivered, and gathered with others."""
FASTER = 0.8
"""Below this share of the other's time a provider counts as the faster one."""
RECHECK_SECONDS = 2.5
"""The longest wait for a probe of the cheap provider after the expensive one has recovered."""
SHARE_MIN = 1 / 8
"""The share of the places that stays with the cheap provider however slow it is."""


class Router:
    """One replica's view of both providers, and of the queue. Times are monotonic seconds."""

    def __init__(self, policy: Policy, chance: Chance, on_breaker: OnBreaker = ignore_breaker) -> None:
        self._policy = policy
        self._chance = chance
        self._provider_states: dict[ProviderName, ProviderState] = {
            "default": ProviderState("default", policy, on_breaker),
            "fallback": ProviderState("fallback", policy, on_breaker),
        }
        by_fee = sorted(self._provider_states.values(), key=lambda provider_state: provider_state.fee_basis_points)
        self._cheap, self._expensive = by_fee
        difference = self._expensive.fee_basis_points - self._cheap.fee_basis_points
        self._basis_points_per_second = difference / policy.patience_seconds
        self._backlog = Backlog()
        self._overdue_at = -inf
        """When the patience of the oldest payment in the queue may be over."""
        self._recovered_at = -inf
        """When the expensive provider recovered while the cheap one was down; -inf after the next probe of that one."""

    def provider_state(self, provider: ProviderName) -> ProviderState:
        return self._provider_states[provider]

    # For the worker.

    def room(self, now: float) -> int:
        """How many payments are worth taking from the queue now. Those under way have their places already."""
        if self._left <= 0:
            return 0
        cheap = self._cheap.free(now, self._cheap_places(now))
        if self._cheap.breaker.is_closed:
            return min(cheap + (self._expensive.free(now, inf) if self._overflows(now) else 0), self._left)
        has_turn = now >= self._overdue_at or self._is_expensive_scarce(now)
        expensive = min(self._expensive.free(now, inf), OVERDUE_BATCH) if has_turn else 0
        return min(cheap + expensive, self._left)

    @property
    def is_down(self) -> bool:
        """Whether a provider is down, so that time alone can make room."""
        return self._cheap.is_down or self._expensive.is_down

    def decide(self, now: float, *, amount_cents: int, waited_seconds: float) -> Decision:
        """Where the payment goes, and why. A Route takes a place, which `observe` or `withdraw` gives back."""
        cheap, expensive = self._cheap, self._expensive
        has_cheap = self._left > 0 and cheap.free(now, self._cheap_places(now)) > 0
        has_expensive = self._left > 0 and expensive.free(now, inf) > 0
        if has_cheap and has_expensive and cheap.breaker.is_closed and expensive.breaker.is_closed:
            return self._cheapest(now, amount_cents)
        if has_cheap:
            return self._only_cheap(now, amount_cents)
        if not cheap.breaker.is_closed:
            return self._while_down(now, amount_cents, waited_seconds, has_expensive=has_expensive)
        if has_expensive and self._overflows(now):
            why = f"overflow: {cheap.provider} has all {cheap.in_flight} places taken, {self._backlog.pending:.0f} wait"
            return self._route(expensive, why, now, amount_cents)
        return Wait(WAIT_SECONDS, f"{cheap.provider} has all {cheap.in_flight} places taken")

    def obstacle(self, now: float) -> str:
        """Why payments are not sent now; empty while the cheap provider is up and has a place."""
        cheap, expensive = self._cheap, self._expensive
        if not cheap.is_down and cheap.free(now, inf) > 0 and self._left > 0:
            return ""
        if expensive.is_down or expensive.free(now, inf) == 0 or self._left <= 0:
            return f"{cheap.obstacle(now)}, {expensive.obstacle(now)}"
        patience = f", and payments wait up to {self._patience_seconds(now):.1f} s for it" if cheap.is_down else ""
        return f"{cheap.obstacle(now)}{patience}"

    # For the payment handler.

    def observe(self, provider: ProviderName, outcome: Outcome, now: float, *, seconds: float | None = None) -> None:
        """A call that took a place has ended, `seconds` after it took it (None: not known)."""
        observed = self._provider_states[provider]
        was_down = observed.is_down
        observed.observe(outcome, seconds, now)
        if observed is self._cheap and now - (seconds or 0.0) >= self._recovered_at:
            self._recovered_at = -inf
        if observed is self._expensive and was_down and not observed.is_down and self._cheap.is_down:
            # What made both fail may be over. Until the next probe of the cheap one, all payments whose patience is
            # over would go to the expensive one.
            self._cheap.breaker.probe_soon(now)
            self._recovered_at = now

    def withdraw(self, provider: ProviderName, now: float, *, seconds: float) -> None:
        """A payment that took a place `seconds` ago was not sent after all."""
        self._provider_states[provider].withdraw(seconds, now)

    # For doubts, which can be sent to their own provider only.

    def room_for_doubts(self, provider: ProviderName, in_hand: int, now: float) -> int:
        """How many more doubts may be taken from the provider's queue, while `in_hand` are in hand."""
        return self._provider_states[provider].room_for_doubts(in_hand, now)

    def is_probing(self, provider: ProviderName) -> bool:
        """Whether doubts are taken from the provider's queue one by one, as probes."""
        return self._provider_states[provider].is_down

    def resend_pause_seconds(self, provider: ProviderName, now: float) -> float:
        """The shortest wait before an attempt in doubt is sent again; 0 when it may be sent now."""
        return self._provider_states[provider].resend_pause_seconds(now)

    def resend(self, provider: ProviderName, now: float) -> bool:
        """An attempt in doubt takes a place, which one of the next two gives back. True if it is the probe."""
        return self._provider_states[provider].resend(now)

    def observe_resend(self, provider: ProviderName, outcome: Outcome, now: float, *, seconds: float) -> None:
        """The call of an attempt in doubt has ended, `seconds` after it took its place."""
        self._provider_states[provider].observe_resend(outcome, seconds, now)

    def withdraw_resend(self, provider: ProviderName, now: float, *, seconds: float) -> None:
        """An attempt in doubt that took a place `seconds` ago was not sent after all."""
        self._provider_states[provider].withdraw_resend(seconds, now)

    def doubt_ended(self, provider: ProviderName) -> None:
        """A doubt that was in hand has ended."""
        self._provider_states[provider].pace.ended()

    def doubt_stays(self, provider: ProviderName, now: float) -> None:
        """A doubt that was in hand could not be ended, and goes back to its queue."""
        self._provider_states[provider].pace.stays(now)

    def observe_doubts(self, provider: ProviderName, *, are_there: bool) -> None:
        """The queue of doubts delivered one, or was found empty."""
        self._provider_states[provider].probing.has_doubts = are_there

    def observe_waiting_doubts(self, provider: ProviderName, waiting: int, now: float) -> None:
        """`waiting` doubts were there when this replica started, without observations of the provider.

        As many as the failures that open a circuit open it: one of them probes before new payments become doubts, too.
        """
        if waiting >= self._policy.failures_to_open:
            self._provider_states[provider].suspect(now)

    def observe_health(self, provider: ProviderName, health: Health, now: float) -> None:
        """The provider's health endpoint answered."""
        self._provider_states[provider].observe_health(health, now)

    def observe_delivery(self, *, delivered: int, pending: int, payments: int, is_redelivery: bool, now: float) -> None:
        """The queue delivered so many payments: the `delivered`th of all deliveries, with `pending` behind it."""
        self._backlog.observe(
            delivered=delivered, pending=pending, payments=payments, is_redelivery=is_redelivery, now=now
        )

    @property
    def payments_per_delivery(self) -> float:
        """The average of the last deliveries."""
        return self._backlog.payments_per_delivery

    # The rule.

    @property
    def _left(self) -> int:
        return self._policy.concurrency_max - self._cheap.in_flight - self._expensive.in_flight

    def _cheapest(self, now: float, amount_cents: int) -> Route:
        scores = {provider_state: self._score(provider_state, now) for provider_state in (self._cheap, self._expensive)}
        chosen, other = sorted(scores, key=scores.__getitem__)
        why = f"cheapest: {chosen.provider} {scores[chosen]:.0f}, {other.provider} {scores[other]:.0f}"
        return self._route(chosen, why, now, amount_cents)

    def _only_cheap(self, now: float, amount_cents: int) -> Route:
        cheap, expensive = self._cheap, self._expensive
        if not cheap.breaker.is_closed:
            why = f"probe: {cheap.provider} has been down for {now - cheap.breaker.down_since:.1f} s"
        else:
            why = f"only choice: {cheap.provider}; {expensive.provider} is {expensive.condition}"
        return self._route(cheap, why, now, amount_cents)

    def _while_down(self, now: float, amount_cents: int, waited_seconds: float, *, has_expensive: bool) -> Decision:
        cheap = self._cheap
        patience = self._patience_seconds(now)
        left = patience - waited_seconds - self._backlog.clears_in_seconds(self._served_per_second(now))
        if left > OVERDUE_SLACK_SECONDS and not (has_expensive and self._is_expensive_scarce(now)):
            overdue_at = now + left - OVERDUE_SLACK_SECONDS
            self._overdue_at = overdue_at if now >= self._overdue_at else min(self._overdue_at, overdue_at)
            return Wait(WAIT_SECONDS, f"{cheap.provider} is down, waited {waited_seconds:.1f} of {patience:.1f} s")
        why = f"{cheap.provider} is down, waited {waited_seconds:.1f} of {patience:.1f} s"
        if now - self._recovered_at < RECHECK_SECONDS:
            return Wait(WAIT_SECONDS, f"{why}; {self._expensive.provider} has recovered, so {cheap.provider} is probed")
        if has_expensive:
            return self._route(self._expensive, f"patience is over: {why}", now, amount_cents)
        return Wait(WAIT_SECONDS, f"{why}; {self._expensive.provider} is {self._expensive.condition}")

    def _route(self, provider_state: ProviderState, why: str, now: float, amount_cents: int) -> Route:
        provider_state.send(now)
        return Route(provider_state.provider, f"{why}; {gain(provider_state.provider, amount_cents)}")

    def _score(self, provider_state: ProviderState, now: float) -> float:
        """Fee and expected time, in hundredths of a per cent of the amount."""
        success = provider_state.estimator.sample_success(self._chance, now)
        failed_calls = 1 / success - 1
        seconds = (
            provider_state.estimator.latency_seconds(now) * (1 + failed_calls) + RETRY_PAUSE_SECONDS * failed_calls
        )
        return provider_state.fee_basis_points + self._basis_points_per_second * seconds

    def _patience_seconds(self, now: float) -> float:
        patience = self._policy.outage_patience_seconds or self._policy.patience_seconds
        outage = now - self._cheap.breaker.down_since
        return patience * min(1.0, OUTAGE_PATIENCES * patience / max(outage, 0.1))

    def _overflows(self, now: float) -> bool:
        """Whether more arrive than the cheap provider can take, so that the queue would not clear within patience.

        Where this replica's places are short, the expensive provider helps only if it is the faster one.
        """
        places = min(self._cheap.limit.attainable, self._cheap_places(now))
        served_per_second = self._served_per_second(now)
        if self._backlog.pending <= served_per_second * OVERFLOW_SECONDS:
            return False
        if places == self._policy.concurrency_max and not self._is_expensive_faster(now):
            return False
        return self._backlog.clears_in_seconds(served_per_second) > self._policy.patience_seconds

    def _served_per_second(self, now: float) -> float:
        """The cheap provider's throughput with all the places that it may have (Little's law)."""
        places = min(self._cheap.limit.attainable, self._cheap_places(now))
        return places / self._cheap.estimator.latency_seconds(now)

    def _is_expensive_scarce(self, now: float) -> bool:
        """Whether not even the expensive provider could clear the queue within patience: then it is not left idle."""
        served_per_second = self._expensive.limit.attainable / self._expensive.estimator.latency_seconds(now)
        return self._backlog.clears_in_seconds(served_per_second) > self._policy.patience_seconds

    def _cheap_places(self, now: float) -> float:
        """How many of all places the cheap provider may take, so that the rest carries the arrivals that it cannot.

        n places at the cheap one serve n / t. The remaining arrivals need (a - n / t) u places at the expensive one.
        Both together are all c places: n = (c - a u) / (1 - u / t). t and u are the times of a call and the turn
        after it.
        """
        c = float(self._policy.concurrency_max)
        a = self._backlog.arrivals_per_second * ARRIVALS_MARGIN
        t, u = (
            provider_state.estimator.latency_seconds(now) + TURN_SECONDS
            for provider_state in (self._cheap, self._expensive)
        )
        if a * t <= c or not self._is_expensive_faster(now) or not self._expensive.may_be_asked(now):
            return c
        return min(max((c - a * u) / (1 - u / t), c * SHARE_MIN), c)

    def _is_expensive_faster(self, now: float) -> bool:
        """Whether a place there carries clearly more than one at the cheap provider."""
        faster = self._expensive.estimator.latency_seconds(now)
        return faster < self._cheap.estimator.latency_seconds(now) * FASTER
