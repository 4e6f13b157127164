"""One strategy in one scenario, event by event in virtual time: the queue, one worker replica, and both providers.

The worker is modelled on `processor/intake/requests.py` and `processor/charging/handler.py`: it takes as many payments
from the queue as it has places for, oldest first; writes the intent to the log; sends; routes again, up to four times,
what was proven not charged; and returns to the queue what has to wait. Each payment uses CPU of the replica.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf
from random import Random

from qa.routing_sim.counter import Counter
from qa.routing_sim.scenario import Scenario
from qa.routing_sim.strategy import Strategy
from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.fees import fee_cents
from tollgate.processor.health.report import Health
from tollgate.processor.routing import Outcome, Route

GATHER_SECONDS = 0.04
"""How long a delivery waits for others to be handled with it (`processor/intake/requests.py`)."""
LOG_SECONDS = 0.005
"""Time from the decision to the first byte: the intent is written, and read back."""
PAYMENTS_PER_SECOND_MAX = 1_500.0
"""Payments that one replica can handle."""
ATTEMPTS_MAX = 4
RETRY_SECONDS = 0.25
RETRY_SECONDS_MAX = 15.0
TICK_SECONDS = 0.05
HEALTH_SECONDS = 5.0
BELL_SECONDS = 1.0
"""The benchmark counts after the last users' pause."""


class Kind(IntEnum):
    """The kinds of events in a run."""

    SEND = 0
    END = 1
    GIVE_UP = 2
    BACK = 3
    TICK = 4
    HEALTH = 5
    STAGE = 6
    BEGIN = 7


@dataclass(slots=True)
class Payment:
    accepted_at: float
    deliveries: int = 0
    attempts: int = 0
    settled_at: float = inf
    charged_by: ProviderName | None = None
    charges: int = 0
    failed_at: ProviderName | None = None


@dataclass(slots=True)
class Call:
    payment: Payment
    provider: ProviderName
    decided_at: float
    is_given_up: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a run."""

    payments: int
    charged: dict[ProviderName, int]
    charged_twice: int
    profit_cents: int
    """Profit after fees of payments charged within the drain; a second charge is refunded."""
    lag_at_bell: int
    lag: int
    """Payments not charged at the end of the scenario, and after the drain."""
    bell_profit_cents: int
    settle_seconds_p50: float
    settle_seconds_p99: float
    settle_seconds_max: float
    wasted_calls: int
    """Calls without a charge."""
    deliveries: int
    settled: list[tuple[float, float, ProviderName]] = field(repr=False, default_factory=list)
    """(accepted at, settled at, provider)."""


class Trial:
    """One run of a strategy in a scenario."""

    def __init__(
        self,
        scenario: Scenario,
        strategy: Strategy,
        *,
        seed: int = 0,
        payments_per_second_max: float = PAYMENTS_PER_SECOND_MAX,
    ) -> None:
        self._scenario = scenario
        self._cpu_seconds = 1 / payments_per_second_max
        self._strategy = strategy
        self._chance = Random(seed)  # noqa: S311 - chance to be replayed, no secrets
        self._payments = [Payment(at) for at in scenario.arrivals()]
        self._queue: deque[Payment] = deque()
        self._back: deque[Payment] = deque()
        self._events: list[tuple[float, int, Kind, int]] = []
        self._number = 0
        self._calls: dict[int, Call] = {}
        self._returning: dict[int, Payment] = {}
        self._gathered: list[Payment] = []
        self._cpu_free_at = 0.0
        self._delivered = 0
        self._open = len(self._payments)
        self._wasted_calls = 0
        self._counters: dict[ProviderName, Counter] = {
            name: Counter(lambda at, call: self._schedule(at, Kind.END, call)) for name in PROVIDERS
        }

    def run(self) -> Result:
        scenario = self._scenario
        end = scenario.seconds + scenario.drain_seconds
        for index, stage in enumerate(scenario.stages):
            self._schedule(stage.at_seconds, Kind.STAGE, index)
        self._schedule(0.0, Kind.TICK, 0)
        self._schedule(self._chance.uniform(0, HEALTH_SECONDS), Kind.HEALTH, 0)
        arrivals = iter(self._payments)
        arriving = next(arrivals, None)
        while self._open and self._events:
            at = self._events[0][0]
            if arriving is not None and arriving.accepted_at <= at:
                self._queue.append(arriving)
                self._take(arriving.accepted_at)
                arriving = next(arrivals, None)
                continue
            if at > end:
                break
            now, _, kind, subject = heapq.heappop(self._events)
            self._happen(kind, subject, now)
            self._take(now)
        return self._result()

    def _schedule(self, at: float, kind: Kind, subject: int) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, kind, subject))

    def _happen(self, kind: Kind, subject: int, now: float) -> None:
        match kind:
            case Kind.SEND:
                self._send(subject, now)
            case Kind.END:
                self._end(subject, now)
            case Kind.GIVE_UP:
                self._give_up(subject, now)
            case Kind.BEGIN:
                self._begin(now)
            case Kind.BACK:
                self._back.append(self._returning.pop(subject))
            case Kind.TICK:
                self._schedule(now + TICK_SECONDS, Kind.TICK, 0)
            case Kind.HEALTH:
                self._tell_health(now)
                self._schedule(now + HEALTH_SECONDS, Kind.HEALTH, 0)
            case Kind.STAGE:
                stage = self._scenario.stages[subject]
                for name, weather in (("default", stage.default), ("fallback", stage.fallback)):
                    counter = self._counters[name]  # type: ignore[index]
                    counter.delay_seconds, counter.failing = weather.delay_seconds, weather.failing

    def _take(self, now: float) -> None:
        """The worker takes payments for its free places: redelivered ones first, like the broker."""
        while self._back or self._queue:
            room = min(self._strategy.room(now) - len(self._gathered), len(self._back) + len(self._queue))
            if room <= 0:
                return
            for _ in range(room):
                payment = self._back.popleft() if self._back else self._queue.popleft()
                payment.deliveries += 1
                payment.attempts = 0
                payment.failed_at = None
                self._delivered += 1
                self._strategy.observe_delivery(
                    delivered=self._delivered,
                    pending=len(self._queue),
                    payments=1,
                    is_redelivery=payment.deliveries > 1,
                    now=now,
                )
                if not self._gathered:
                    self._schedule(now + GATHER_SECONDS, Kind.BEGIN, 0)
                self._gathered.append(payment)

    def _begin(self, now: float) -> None:
        gathered, self._gathered = self._gathered, []
        for payment in gathered:
            self._route(payment, now)

    def _route(self, payment: Payment, now: float) -> None:
        decision = self._strategy.decide(
            now,
            amount_cents=self._scenario.amount_cents,
            waited_seconds=now - payment.accepted_at,
            failed_at=payment.failed_at,
        )
        if not isinstance(decision, Route):
            self._put_back(payment, now, decision.seconds)
            return
        self._cpu_free_at = max(self._cpu_free_at, now) + self._cpu_seconds
        sent_at = self._cpu_free_at + LOG_SECONDS
        self._schedule(sent_at, Kind.SEND, self._number + 1)
        self._calls[self._number] = Call(payment, decision.provider, now)
        if self._strategy.call_seconds_max < inf:
            self._schedule(sent_at + self._strategy.call_seconds_max, Kind.GIVE_UP, self._number)

    def _send(self, number: int, now: float) -> None:
        call = self._calls[number]
        if not self._counters[call.provider].admit(number, now):
            del self._calls[number]
            self._answer(call, "busy", now)

    def _end(self, number: int, now: float) -> None:
        call = self._calls.pop(number)
        if not self._counters[call.provider].leave(now):
            if not call.is_given_up:
                self._answer(call, "failed", now)
            return
        payment = call.payment
        payment.charges += 1
        if payment.charges == 1:
            payment.settled_at, payment.charged_by = now, call.provider
            self._open -= 1
        if not call.is_given_up:
            self._strategy.observe(call.provider, "succeeded", now, seconds=now - call.decided_at)

    def _give_up(self, number: int, now: float) -> None:
        call = self._calls.get(number)
        if call is not None:
            call.is_given_up = True
            self._answer(call, "unanswered", now)

    def _answer(self, call: Call, outcome: Outcome, now: float) -> None:
        self._wasted_calls += 1
        self._strategy.observe(call.provider, outcome, now, seconds=now - call.decided_at)
        payment = call.payment
        payment.attempts += 1
        payment.failed_at = call.provider
        if payment.attempts >= ATTEMPTS_MAX:
            pause = min(RETRY_SECONDS * 2.0 ** (payment.deliveries - 1), RETRY_SECONDS_MAX)
            self._put_back(payment, now, pause * 2 / 3)
        else:
            self._route(payment, now)

    def _put_back(self, payment: Payment, now: float, seconds: float) -> None:
        self._schedule(now + seconds * (1 + self._chance.random() / 2), Kind.BACK, self._number + 1)
        self._returning[self._number] = payment

    def _tell_health(self, now: float) -> None:
        for name, counter in self._counters.items():
            self._strategy.observe_health(name, Health(counter.failing, counter.delay_seconds), now)

    def _result(self) -> Result:
        scenario, payments = self._scenario, self._payments
        end, bell = scenario.seconds + scenario.drain_seconds, scenario.seconds + BELL_SECONDS
        charged = [payment for payment in payments if payment.charged_by is not None and payment.settled_at <= end]
        waits = sorted(payment.settled_at - payment.accepted_at for payment in charged) or [inf]
        return Result(
            payments=len(payments),
            charged={name: sum(payment.charged_by == name for payment in charged) for name in PROVIDERS},
            charged_twice=sum(payment.charges > 1 for payment in payments),
            profit_cents=_profit_cents(charged, scenario.amount_cents),
            bell_profit_cents=_profit_cents([p for p in charged if p.settled_at <= bell], scenario.amount_cents),
            lag_at_bell=sum(payment.settled_at > bell for payment in payments),
            lag=len(payments) - len(charged),
            settle_seconds_p50=waits[len(waits) // 2],
            settle_seconds_p99=waits[len(waits) * 99 // 100],
            settle_seconds_max=waits[-1],
            wasted_calls=self._wasted_calls,
            deliveries=self._delivered,
            settled=[(p.accepted_at, p.settled_at, p.charged_by) for p in charged if p.charged_by],
        )


def _profit_cents(charged: list[Payment], amount_cents: int) -> int:
    once = [payment for payment in charged if payment.charges == 1]
    return sum(
        (amount_cents - fee_cents(name, amount_cents)) * sum(payment.charged_by == name for payment in once)
        for name in PROVIDERS
    )
