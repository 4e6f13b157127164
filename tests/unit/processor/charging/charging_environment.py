"""The environment of the charging model: one payment, its log, two providers, and workers that may meet any fault.

The payment's request, each doubt and each release is an item in a queue. It is delivered to any worker, again and again
until it is done. The workers are the real handlers. Their ports are answered one call at a time: each `await` of a port
becomes a Call that waits until the test decides its result, so every interleaving of every step can be tried.
"""

import types
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from typing import Any, Protocol, TypeVar, cast

from tollgate.contract.events import (
    Event,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
    ProviderName,
)
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, evolve
from tollgate.contract.subjects import message_id_of
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.messaging.log import Appended
from tollgate.messaging.read_model_client import ReadModel
from tollgate.processor.charging.attempts import Attempts
from tollgate.processor.charging.doubt_handler import Doubt, DoubtHandler
from tollgate.processor.charging.handler import STAMP_AGE_SECONDS_MAX, Done, PaymentHandler, Result, Work
from tollgate.processor.charging.histories import Histories, StoredRequest
from tollgate.processor.charging.history import History
from tollgate.processor.charging.outcomes import Answer, Attempt, Found, LookupAnswer, NoAnswer, NotReached, Unknown
from tollgate.processor.charging.payment_states import PaymentStates
from tollgate.processor.charging.provider_client import attempt_body
from tollgate.processor.charging.provider_contract import CONTEST, ProviderContract, Reply
from tollgate.processor.charging.provider_log import ProviderEvent
from tollgate.processor.charging.release_handler import Released, ReleaseHandler
from tollgate.processor.charging.state_cache import StateCache
from tollgate.processor.operations.resolve import hold_seconds_min
from tollgate.processor.routing import Decision, Outcome, Route, Wait
from tollgate.runtime.clock import Clock, SystemClock
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError
from tollgate.runtime.log_fields import LogFields

T = TypeVar("T")

PAYMENT = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
OTHER_PAYMENT = "00000000-0000-4000-8000-{:012d}"
AMOUNT_CENTS = 1990
REQUEST_SEQUENCE = 1
TIMEOUT_SECONDS = 15
HOLD_SECONDS = hold_seconds_min(TIMEOUT_SECONDS)
"""How long an operator waits after the hold: every sending has had its answer by then, or its timeout."""
DELIVERIES_MAX = 8
"""Without faults the payment has to end within this many deliveries."""


# The calls of a worker.


@dataclass(frozen=True, slots=True)
class Append:
    event: Event


@dataclass(frozen=True, slots=True)
class Reach:
    sequence: int


@dataclass(frozen=True, slots=True)
class LookUpPayment:
    """The payment is looked up; what is found is complete up to this sequence at least."""

    up_to: int


@dataclass(frozen=True, slots=True)
class FindRequest:
    """The payment's request is looked up in the log."""


@dataclass(frozen=True, slots=True)
class Send:
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Find:
    provider: ProviderName


@dataclass(frozen=True, slots=True)
class CatchUp:
    provider: ProviderName


Call = Append | Reach | LookUpPayment | FindRequest | Send | Find | CatchUp


# The faults of a call. The first of each list is none.


class Fault(Enum):
    NONE = "none"
    # an event on its way to the log
    STORED_NOT_ACKNOWLEDGED = "stored, not acknowledged"
    STORED_AND_SENT_AGAIN = "stored, and a copy of it lands later"
    STORED_LATER = "not acknowledged, and stored later"
    NEVER_STORED = "never stored"
    # reading the log
    READ_FURTHER = "read to the log's end"
    READ_NO_FURTHER = "read only as far as the question needs"
    NOT_READ = "not read in time"
    # an attempt on its way to the provider
    CONNECTION_REFUSED = "connection refused"
    TOO_MANY_REQUESTS = "429"
    BAD_REQUEST = "400"
    ERROR_UNCHARGED = "500, not charged"
    ERROR_CHARGED = "500, charged"
    ANSWER_LOST = "charged, and the answer lost"
    REQUEST_LOST = "cut off, and never charged"
    CHARGED_LATE = "timeout, and charged later"
    # the answer of a proxy
    BAD_GATEWAY_CHARGED_LATE = "502 of a proxy, and charged later"
    PROXY_ERROR_CHARGED_LATE = "500 of a proxy, and charged later"
    UNAUTHORIZED = "401 of an ingress, and never charged"
    # a lookup
    NO_ANSWER = "no answer"
    NOT_FOUND_BY_INGRESS = "404 of an ingress"


FAULTS: dict[type[Call], list[Fault]] = {
    Append: [
        Fault.NONE,
        Fault.STORED_NOT_ACKNOWLEDGED,
        Fault.STORED_AND_SENT_AGAIN,
        Fault.STORED_LATER,
        Fault.NEVER_STORED,
    ],
    Reach: [Fault.NONE, Fault.READ_FURTHER, Fault.NOT_READ],
    LookUpPayment: [Fault.NONE, Fault.READ_NO_FURTHER, Fault.READ_FURTHER, Fault.NOT_READ],
    FindRequest: [Fault.NONE, Fault.NOT_READ],
    Send: [
        Fault.NONE,
        Fault.CHARGED_LATE,
        Fault.ANSWER_LOST,
        Fault.REQUEST_LOST,
        Fault.ERROR_UNCHARGED,
        Fault.ERROR_CHARGED,
        Fault.CONNECTION_REFUSED,
        Fault.TOO_MANY_REQUESTS,
        Fault.BAD_REQUEST,
        Fault.BAD_GATEWAY_CHARGED_LATE,
        Fault.PROXY_ERROR_CHARGED_LATE,
        Fault.UNAUTHORIZED,
    ],
    Find: [Fault.NONE, Fault.NO_ANSWER, Fault.NOT_FOUND_BY_INGRESS],
    CatchUp: [Fault.NONE, Fault.READ_FURTHER, Fault.NOT_READ],
}


PROXY_STATUSES = {
    Fault.BAD_GATEWAY_CHARGED_LATE: 502,
    Fault.PROXY_ERROR_CHARGED_LATE: 500,
    Fault.UNAUTHORIZED: 401,
}
PROXY_PAGE = b"<html><body>nginx</body></html>"
MESSAGE = b'{"message":"as the provider words it"}'


@types.coroutine
def _ask(call: Call) -> Generator[Call, Any, Any]:
    return (yield call)


class ManualClock:
    """A clock that a test sets: it moves by a microsecond with each reading, or by `sleep`."""

    def __init__(self) -> None:
        self._now_us = 1_750_000_000 * MICROSECONDS

    def now_us(self) -> int:
        self._now_us += 1
        return self._now_us

    def monotonic_seconds(self) -> float:
        return self.now_us() / MICROSECONDS

    def sleep(self, seconds: float) -> None:
        self._now_us += int(seconds * MICROSECONDS)


class RightClock:
    """A replica's clock that agrees with the broker's, until it was checked `looks` times.

    `suspicions` counts the calls of `suspect`.
    """

    def __init__(self, looks: float = inf, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._looks = looks
        self.suspicions = 0

    @property
    def is_right(self) -> bool:
        self._looks -= 1
        return self._looks >= 0

    def now_us(self) -> int:
        return self._clock.now_us()

    def suspect(self) -> None:
        self.suspicions += 1


@dataclass(slots=True)
class DirectedRouter:
    """Stands in for the router: routes to `direction`, or waits if that is None. It counts the places taken."""

    direction: ProviderName | None = "default"
    places_taken: int = 0

    def decide(self, now: float, *, amount_cents: int, waited_seconds: float) -> Decision:
        assert amount_cents == AMOUNT_CENTS
        assert waited_seconds >= 0
        if self.direction is None:
            return Wait(0.5, f"no direction at {now}")
        self.places_taken += 1
        return Route(self.direction, "the direction of the test")

    def resend_pause_seconds(self, _: ProviderName, now: float) -> float:
        del now
        return 0.5 if self.direction is None else 0.0

    def resend(self, _: ProviderName, now: float) -> bool:
        del now
        self.places_taken += 1
        return False

    def withdraw_resend(self, provider: ProviderName, now: float, *, seconds: float) -> None:
        self.withdraw(provider, now, seconds=seconds)

    def observe_resend(self, provider: ProviderName, outcome: Outcome, now: float, *, seconds: float) -> None:
        self.observe(provider, outcome, now, seconds=seconds)

    def doubt_ended(self, _: ProviderName) -> None:
        return

    def doubt_stays(self, _: ProviderName, now: float) -> None:
        del now

    def observe_doubts(self, _: ProviderName, *, are_there: bool) -> None:
        assert are_there

    def withdraw(self, _: ProviderName, now: float, *, seconds: float) -> None:
        del now
        assert seconds >= 0
        self.places_taken -= 1

    def observe(self, _: ProviderName, outcome: Outcome, now: float, *, seconds: float | None = None) -> None:
        del outcome, now
        assert seconds is None or seconds >= 0
        self.places_taken -= 1


@dataclass(slots=True)
class Item:
    """An event in a queue, with its sequence in the log."""

    sequence: int
    event: PaymentRequested | PaymentInDoubt | PaymentReleased
    deliveries: int = 0
    is_done: bool = False


class WorkerProcess:
    """One replica: the real handlers and state cache. `call` is the call that it waits for; None while it is idle."""

    def __init__(self, start_sequence: int, clock: Clock, *, remembered_max: int) -> None:
        self.state_cache = StateCache(
            start_sequence,
            set(),
            ended_max=remembered_max,
            doubts_max=remembered_max,
            adopted_max=remembered_max,
            forgotten_max=remembered_max,
        )
        self.position = start_sequence - 1
        self.router = DirectedRouter()
        self.call: Call | None = None
        self.called_at_us = self.asked_at_end = 0
        """When the call was made, and the end of the log at that time."""
        self.item: Item | None = None
        """The item that it handles."""
        self._running: Coroutine[Call, Any, Result] | None = None
        payment_states = PaymentStates(self.state_cache, self)
        self.notes: list[tuple[ProviderName, ProviderEvent, str, LogFields]] = []
        attempts = Attempts(self, self, self, clock, self)
        self._payments = PaymentHandler(
            *(self, self, payment_states, attempts, self.router),
            read_model=cast("ReadModel", None),
            clock=RightClock(clock=clock),
            system_clock=clock,
        )
        self._doubts = DoubtHandler(self, payment_states, attempts, self.router, clock=clock)
        self._releases = ReleaseHandler(self._payments, self, cast("Histories", self), attempts)

    def deliver(self, item: Item) -> Result | None:
        assert self._running is None, "the model has a worker do one thing at a time"
        self.item = item
        self._running = cast("Coroutine[Call, Any, Result]", self._handle(item))
        return self.resume(None)

    def _handle(self, item: Item) -> Coroutine[Any, Any, Result]:
        match item.event:
            case PaymentRequested() as request:
                return self._payments.handle(Work(request, item.sequence, item.deliveries, request.accepted_at_us))
            case PaymentInDoubt() as event:
                return self._doubts.handle(Doubt(event, item.sequence, item.deliveries))
            case PaymentReleased() as event:
                return self._releases.handle(Released(event, item.sequence, item.deliveries))

    def resume(self, value: object) -> Result | None:
        assert self._running is not None
        try:
            self.call = self._running.send(value)
        except StopIteration as stop:
            self._running = self.call = None
            assert self.router.places_taken == 0, "a delivery that is over keeps no place"
            return cast("Result", stop.value)
        return None

    def fail(self, error: BrokerError) -> None:
        """The call fails; the handler raises the error, and the item is delivered again later."""
        assert self._running is not None
        try:
            self._running.throw(error)
        except BrokerError:
            self._running = self.call = None
            assert self.router.places_taken == 0, "a delivery that failed keeps no place"
            return
        raise AssertionError("the handler went on after the broker failed it")

    def stop(self) -> None:
        if self._running is not None:
            self._running.close()

    def known(self) -> list[PaymentState | None]:
        """The states of the payment in the cache, asked for in both ways."""
        # The question itself changes the cache; this one must not.
        cached = self.state_cache._unended.get(PAYMENT)
        complete_from = None if cached is None else cached.complete_from
        states = [self.state_cache.payment_state(PAYMENT, REQUEST_SEQUENCE, is_request=one) for one in (False, True)]
        if cached is not None and complete_from is not None:
            cached.complete_from = complete_from
        return states

    def read(self, log: list[Event], sequence: int) -> None:
        """Applies the log to the cache up to `sequence`."""
        for position in range(self.position + 1, sequence + 1):
            self.state_cache.apply(position, log[position - 1])
        self.position = max(self.position, sequence)

    # The handler's ports.

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        assert timeout_seconds > 0
        return cast("Appended", await _ask(Append(event)))

    may_take = True

    async def reached(self, sequence: int, *, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        await _ask(Reach(sequence))

    async def caught_up(self, provider: ProviderName, *, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        await _ask(CatchUp(provider))

    async def of(self, correlation_id: str, request_sequence: int | None, *, up_to: int) -> History | Ended:
        assert correlation_id == PAYMENT
        assert request_sequence in {REQUEST_SEQUENCE, None}
        return cast("History | Ended", await _ask(LookUpPayment(up_to)))

    async def request_of(self, correlation_id: str) -> StoredRequest:
        assert correlation_id == PAYMENT
        return cast("StoredRequest", await _ask(FindRequest()))

    def note(self, provider: ProviderName, event: ProviderEvent, text: str, fields: LogFields) -> None:
        self.notes.append((provider, event, text, fields))

    async def send(self, attempt: Attempt) -> Answer:
        return cast("Answer", await _ask(Send(attempt)))

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        assert correlation_id == PAYMENT
        return cast("LookupAnswer", await _ask(Find(provider)))


class Happening(Enum):
    RUN_TO_A_SENDING = "a worker goes on until it sends"
    STEP = "a worker takes one step"
    CRASH = "a worker crashes"
    LATE_CHARGE = "a late charge is made"
    LATE_EVENT = "a late event is stored"
    MESSAGE_IDS_FORGOTTEN = "the duplicate window passes"
    STAMPS_GROW_OLD = "stamps grow old"
    STATE_CACHE_READS = "a worker reads on in the log"
    ANOTHER_ENDED = "another payment ends"
    ANOTHER_DOUBTED = "another payment is put in doubt"
    OPERATOR_READS = "the operator reads the log"
    OPERATOR_WAITS = "the operator waits"
    OPERATOR_RESOLVES = "the operator resolves the doubt correctly"
    OPERATOR_RESOLVES_AT_ONCE = "the operator takes all steps of a resolution at once"


HAPPENINGS = [
    *[Happening.RUN_TO_A_SENDING] * 6,
    *[Happening.STEP] * 6,
    *[Happening.OPERATOR_RESOLVES_AT_ONCE] * 2,
    *Happening,
]
DIRECTIONS: list[ProviderName | None] = ["default", "fallback", "default", "fallback", None]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator who can see the charges of the providers: the open attempt as it was read in the log, and when."""

    known: Open | None = None
    read_at_us: int = 0


class Choose(Protocol):
    """Decides what happens: Hypothesis, or a seeded Random."""

    def __call__(self, options: Sequence[T], /) -> T: ...


class Environment:
    """The workers, and everything outside of them.

    Forgetful workers cache one ended payment and one doubt, and their doubts do not have the request's sequence. Any
    worker may begin to read the log anywhere. They look up what they have not cached. Both
    providers follow `contract`.
    """

    def __init__(
        self, *, worker_count: int = 3, is_forgetful: bool = False, contract: ProviderContract = CONTEST
    ) -> None:
        self.contract = contract
        self.clock = ManualClock()
        self.log: list[Event] = []
        self.charges: list[Attempt] = []
        self.late_charges: list[Attempt] = []
        self.late_events: list[Event] = []
        self.reached_situations: set[str] = set()
        """Rare situations that have been reached: the test asserts that it has reached them."""
        self.operator = Operator()
        self._has_refused = False
        """Whether a provider itself has refused the payment for good."""
        self._known_ids: dict[str, int] = {}
        self.items: list[Item] = []
        """All items that were ever in a queue, in the log's order."""
        self._others = 0
        self._is_forgetful = is_forgetful
        self._request = PaymentRequested(PAYMENT, AMOUNT_CENTS, self.clock.now_us())
        self._append(self._request)
        self.workers = [self._worker(1) for _ in range(worker_count)]

    # What can happen.

    def happen(self, choose: Choose) -> None:  # noqa: C901, PLR0912 - a row of the table each
        """Chooses one of HAPPENINGS, and lets it happen."""
        happening = choose(HAPPENINGS)
        number = choose(range(len(self.workers)))
        match happening:
            case Happening.LATE_CHARGE if self.late_charges:
                self.charge_late(choose(range(len(self.late_charges))))
            case Happening.LATE_EVENT if self.late_events:
                self.store_late(choose(range(len(self.late_events))))
            case Happening.MESSAGE_IDS_FORGOTTEN:
                self.forget_message_ids()
            case Happening.STAMPS_GROW_OLD:
                self.clock.sleep(STAMP_AGE_SECONDS_MAX * 2)
            case Happening.ANOTHER_ENDED:
                self.end_another_payment()
            case Happening.ANOTHER_DOUBTED:
                self.doubt_another_payment()
            case Happening.OPERATOR_READS:
                self.operator_reads()
            case Happening.OPERATOR_WAITS:
                self.clock.sleep(HOLD_SECONDS)
            case Happening.OPERATOR_RESOLVES_AT_ONCE:
                self.operator_resolves_at_once()
            case Happening.OPERATOR_RESOLVES:
                self.operator_resolves(choose(FAULTS[Append]))
            case Happening.CRASH:
                # A new worker begins anywhere, and looks up what is older.
                starts = range(1, len(self.log) + 2)
                self.crash(number, self._fault(number, choose), start_sequence=choose(starts))
            case Happening.STATE_CACHE_READS:
                self.read(number, choose(range(len(self.log) + 1)))
            case _:
                direction = choose(DIRECTIONS)
                item = choose(self.undone() or self.items) if self.call_of(number) is None else None
                self.step(number, self._fault(number, choose), direction, item)
                while happening is Happening.RUN_TO_A_SENDING and isinstance(self.call_of(number), Append | Reach):
                    self.step(number, Fault.NONE, direction)

    def _fault(self, number: int, choose: Choose) -> Fault:
        call = self.call_of(number)
        return Fault.NONE if call is None else choose(FAULTS[type(call)])

    def undone(self) -> list[Item]:
        """The items in the queues."""
        return [item for item in self.items if not item.is_done]

    def step(
        self, number: int, fault: Fault, direction: ProviderName | None = "default", item: Item | None = None
    ) -> Result | None:
        """The worker takes one step: an idle one takes an item (the oldest); the call of another ends with `fault`."""
        worker = self.workers[number]
        worker.router.direction = direction
        if worker.call is None:
            item = item or next(iter(self.undone()), self.items[0])
            item.deliveries += 1
            worker.called_at_us, worker.asked_at_end = self.clock.now_us(), len(self.log)
            return self._ended(worker, worker.deliver(item))
        outcome = self._outcome(worker, worker.call, fault)
        if isinstance(outcome, BrokerError):
            worker.fail(outcome)
            return None
        worker.called_at_us, worker.asked_at_end = self.clock.now_us(), len(self.log)
        return self._ended(worker, worker.resume(outcome))

    def crash(self, number: int, fault: Fault, *, start_sequence: int = 1) -> None:
        """The worker loses its cache. The call that it was waiting for still ends with `fault`."""
        worker = self.workers[number]
        if worker.call is not None:
            self.reached_situations.add(f"crashed in {type(worker.call).__name__}")
            self._outcome(worker, worker.call, fault)
        worker.stop()
        self.workers[number] = self._worker(start_sequence)

    def call_of(self, number: int) -> Call | None:
        """What the worker waits for."""
        return self.workers[number].call

    def read(self, number: int, sequence: int) -> None:
        """The worker reads on in the log, whatever else it does."""
        self.workers[number].read(self.log, sequence)

    def charge_late(self, index: int = 0) -> None:
        """A processor gets round to a request that its client gave up on."""
        self._charge(self.late_charges.pop(index))
        self.reached_situations.add("charged late")

    def store_late(self, index: int = 0) -> None:
        """An event reaches the log after its writer gave up on it, or a second time."""
        self._append(self.late_events.pop(index))

    def forget_message_ids(self) -> None:
        """The broker's duplicate window has passed."""
        self._known_ids.clear()

    def end_another_payment(self) -> None:
        """Journals remember so many ended payments; each that ends pushes an older one out."""
        self._others += 1
        moment = self.clock.now_us()
        self._append(PaymentProcessed(OTHER_PAYMENT.format(self._others), 1, 1, "default", moment, moment))

    def doubt_another_payment(self) -> None:
        """The caches have a bound for doubts, too."""
        self._others += 1
        payment = OTHER_PAYMENT.format(self._others)
        self._append(PaymentRouted(payment, 1, 1, "default", self.clock.now_us(), "the test's"))
        self._append(PaymentInDoubt(payment, 1, "default", "the test's"))

    def operator_reads(self) -> None:
        """The operator reads the payment state, which may be out of date when the payment is resolved."""
        payment_state = self.payment_state()
        known = payment_state if isinstance(payment_state, Open) else None
        if known is None or not known.is_held or known != self.operator.known:
            self.operator = Operator(known, self.clock.now_us())

    def operator_resolves(self, fault: Fault = Fault.NONE) -> None:
        """The operator correctly resolves the attempt that was open when the log was read, if there was one."""
        known = self.operator.known
        if known is None:
            return
        event = self._resolution_of(known)
        if event is None:
            return
        before = self.payment_state()
        self._outcome_of_appending(event, fault)
        if self.payment_state() != before:
            self.reached_situations.add(f"resolution: {type(event).__name__}")

    def operator_resolves_at_once(self) -> None:
        """The steps of the command: hold, wait, release; or the charge."""
        for _ in range(2):
            self.operator_reads()
            if self.operator.known is not None and self.operator.known.is_held:
                self.clock.sleep(HOLD_SECONDS)
            self.operator_resolves()

    def _resolution_of(self, known: Open) -> Event | None:
        attempt = known.attempt
        now_us = self.clock.now_us()
        resolution = ManualResolution("operator", "by the provider's record", now_us)
        record = self._record(attempt.provider)
        if isinstance(record, Found):
            return _processed_by_resolution(attempt, record.requested_at_us, resolution)
        if not known.is_held:
            return PaymentInDoubt(PAYMENT, attempt.attempt, attempt.provider, "held", resolution)
        if attempt in self.late_charges or now_us - self.operator.read_at_us < HOLD_SECONDS * MICROSECONDS:
            return None
        for number, worker in enumerate(self.workers):
            if worker.call == Send(attempt) and now_us - worker.called_at_us >= TIMEOUT_SECONDS * MICROSECONDS:
                # Given up by now. The operator does not see a sending that began later.
                self.step(number, Fault.REQUEST_LOST)
        return PaymentReleased(PAYMENT, attempt.attempt, attempt.provider, "not charged", resolution)

    def heal(self) -> None:
        """Faults stop, and everything under way ends; then all items are delivered until they are done.

        An attempt that is held is resolved by the operator, unless it was charged.
        """
        while self.late_events:
            self.store_late()
        while self.late_charges:
            self.charge_late()
        for number in range(len(self.workers)):
            self._run(number)
        for _ in range(DELIVERIES_MAX):
            for item in self.undone():
                self._run(0, item)
            if not self.undone():
                assert self.payment_state() == Ended(), "no item of the payment is left, and it has not ended"
                return
            if isinstance(payment_state := self.payment_state(), Open) and payment_state.is_held:
                self.operator_resolves_at_once()
            self.read(0, len(self.log))
        raise AssertionError(f"not done: {self.undone()} of {self.log}")

    # What can be seen.

    def payment_state(self, sequence: int | None = None) -> PaymentState:
        """The payment's state in the log, up to `sequence`."""
        payment_state: PaymentState = Unrouted()
        for position, event in enumerate(self.log[:sequence], start=1):
            if _is_in_history(event):
                payment_state = evolve(payment_state, position, event)
        return payment_state

    def outcomes(self) -> list[PaymentProcessed | PaymentRejected]:
        """Every recorded end of the payment."""
        return [event for event in self.log if isinstance(event, PaymentProcessed | PaymentRejected) if _is_ours(event)]

    def end(self) -> PaymentProcessed | PaymentRejected | None:
        """The event that ended the payment; None while it goes on."""
        for sequence, event in enumerate(self.log, start=1):
            is_an_end = isinstance(event, PaymentProcessed | PaymentRejected) and _is_ours(event)
            if is_an_end and self.payment_state(sequence) == Ended():
                return cast("PaymentProcessed | PaymentRejected", event)
        return None

    def was_in_doubt(self) -> bool:
        return any(isinstance(event, PaymentInDoubt) and _is_ours(event) for event in self.log)

    def check(self) -> None:
        """What holds at every moment."""
        assert len(self.charges) <= 1, "charged twice"
        for end in self.outcomes():
            match end:
                case PaymentProcessed():
                    assert len(self.charges) == 1, "recorded as charged, and is not"
                    charge = self.charges[0]
                    assert (end.provider, end.amount_cents) == (charge.provider, charge.amount_cents)
                    assert end.requested_at_us == charge.requested_at_us, "recorded under another stamp"
                case PaymentRejected():
                    assert self._has_refused, "rejected for good, and no provider refused it"
                    assert self.was_in_doubt() or not self.charges, "rejected without a doubt, and charged"
        if isinstance(self.end(), PaymentRejected):
            assert not self.charges, "rejected for good, and charged"
        self._check_that_it_is_in_hand()
        for worker in self.workers:
            for known in worker.known():
                # A payment can be found to have ended before its worker has read so far.
                states = (None, self.payment_state(worker.position), self._end_if_ended())
                assert known in states, "a cached state differs from the log's"

    def _end_if_ended(self) -> Ended | None:
        return Ended() if self.payment_state() == Ended() else None

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()

    # How it goes.

    def _check_that_it_is_in_hand(self) -> None:
        if self.payment_state() != Ended():
            assert any(self._carries(item) for item in self.undone()), "a queue has let go of it, and it has not ended"

    def _carries(self, item: Item) -> bool:
        """Whether the payment, as it stands, goes on only by this item or another of which it is true."""
        payment_state = self.payment_state()
        match item.event:
            case PaymentInDoubt(attempt=attempt, resolution=None):
                return (
                    isinstance(payment_state, Open)
                    and payment_state.in_doubt
                    and payment_state.attempt.attempt == attempt
                )
            case PaymentRequested() | PaymentReleased(resolution=ManualResolution()):
                return not (isinstance(payment_state, Open) and payment_state.in_doubt)
            case _:
                return False

    def _worker(self, start_sequence: int) -> WorkerProcess:
        return WorkerProcess(start_sequence, self.clock, remembered_max=1 if self._is_forgetful else 50_000)

    def _run(self, number: int, item: Item | None = None) -> Result | None:
        result = None if self.call_of(number) is not None or item is None else self.step(number, Fault.NONE, item=item)
        while self.call_of(number) is not None:
            result = self.step(number, Fault.NONE)
        return result

    def _ended(self, worker: WorkerProcess, result: Result | None) -> Result | None:
        if isinstance(result, Done) and (item := worker.item) is not None:
            item.is_done = True
            self._check_that_it_is_in_hand()
            self.reached_situations.add(f"done: {type(item.event).__name__}")
        return result

    def _outcome(self, worker: WorkerProcess, call: Call, fault: Fault) -> object:  # noqa: C901, PLR0911 - a row of a table each
        match call:
            case Append(event):
                return self._outcome_of_appending(event, fault)
            case Reach(sequence):
                if fault is Fault.NOT_READ:
                    return BrokerUnavailableError("fault: not read")
                worker.read(self.log, max(sequence, len(self.log) if fault is Fault.READ_FURTHER else 0))
                return None
            case LookUpPayment(up_to):
                if fault is Fault.NOT_READ:
                    return BrokerUnavailableError("fault: not read")
                return self._looked_up(worker, up_to, fault)
            case FindRequest():
                if fault is Fault.NOT_READ:
                    return BrokerUnavailableError("fault: not read")
                return StoredRequest(self._request, REQUEST_SEQUENCE, self._request.accepted_at_us)
            case Send(attempt):
                return self._outcome_of_sending(attempt, fault)
            case CatchUp():
                if fault is Fault.NOT_READ:
                    return BrokerUnavailableError("fault: not read")
                # What the log held when it was asked; the answer may be long on its way.
                worker.read(self.log, len(self.log) if fault is Fault.READ_FURTHER else worker.asked_at_end)
                return None
            case Find(provider):
                return self._outcome_of_lookup(provider, fault)

    def _looked_up(self, worker: WorkerProcess, up_to: int, fault: Fault) -> History | Ended:
        """The answer of a read model that has read up to the question's position, to the log's end then, or now."""
        self.reached_situations.add("looked up")
        end = {Fault.READ_FURTHER: len(self.log), Fault.READ_NO_FURTHER: up_to}.get(fault, worker.asked_at_end)
        if worker.position > end:
            self.reached_situations.add("looked up while the log was read on")
        if self.payment_state(end) == Ended():
            # Without its events: the read model lists them only while the payment has not ended.
            return Ended()
        return History([(one, event) for one, event in enumerate(self.log[:end], start=1) if _is_in_history(event)])

    def _outcome_of_appending(self, event: Event, fault: Fault) -> Appended | BrokerUnavailableError:
        match fault:
            case Fault.STORED_NOT_ACKNOWLEDGED:
                self._append(event)
            case Fault.STORED_LATER:
                self.late_events.append(event)
            case Fault.NEVER_STORED:
                pass
            case _:
                if fault is Fault.STORED_AND_SENT_AGAIN:
                    self.late_events.append(event)
                return self._append(event)
        return BrokerUnavailableError("fault: not acknowledged")

    def _append(self, event: Event) -> Appended:
        # What may be stored in a group has no message id of its own (processor/charging/group_commit.py).
        message_id = None if isinstance(event, PaymentRouted | PaymentProcessed) else message_id_of(event)
        if message_id is not None and (known := self._known_ids.get(message_id)) is not None:
            return Appended(known, self.log[known - 1])
        if isinstance(event, PaymentRouted) and _is_ours(event) and self.payment_state() != Unrouted(event.attempt):
            self.reached_situations.add("void intent")
        if self._is_forgetful and isinstance(event, PaymentInDoubt):
            # As in an older log: who works on the doubt has to find out where its request is.
            event = replace(event, request_sequence=None)
        self.log.append(event)
        if _is_ours(event) and isinstance(event, PaymentRequested | PaymentInDoubt | PaymentReleased):
            self.items.append(Item(len(self.log), event))
        if message_id is not None:
            self._known_ids[message_id] = len(self.log)
        self.reached_situations.add(type(event).__name__)
        return Appended(len(self.log))

    def _outcome_of_sending(self, attempt: Attempt, fault: Fault) -> Answer:
        self.reached_situations.add(f"sent to {attempt.provider}")
        match fault:
            case Fault.CONNECTION_REFUSED:
                return NotReached("fault: connection refused")
            case Fault.REQUEST_LOST:
                return Unknown("fault: request lost")
            case Fault.CHARGED_LATE:
                self.late_charges.append(attempt)
                return Unknown("fault: late")
            case Fault.ANSWER_LOST:
                self._charge(attempt)
                return Unknown("fault: answer lost")
            case _ if fault in PROXY_STATUSES:
                self.reached_situations.add(fault.value)
                if fault is not Fault.UNAUTHORIZED:
                    self.late_charges.append(attempt)
                return self.contract.payment_answer(Reply(PROXY_STATUSES[fault], PROXY_PAGE))
            case _:
                return self.contract.payment_answer(self._reply(attempt, fault))

    def _reply(self, attempt: Attempt, fault: Fault) -> Reply:
        """The provider's own answer."""
        match fault:
            case Fault.TOO_MANY_REQUESTS:
                return Reply(429, b"")
            case Fault.BAD_REQUEST:
                self._has_refused = True
                return Reply(400, b"")
            case Fault.ERROR_UNCHARGED:
                return Reply(500, b"")
            case Fault.ERROR_CHARGED:
                self._charge(attempt)
                return Reply(500, MESSAGE)
            case _:
                return Reply(self._charge(attempt), MESSAGE)

    def _outcome_of_lookup(self, provider: ProviderName, fault: Fault) -> LookupAnswer:
        match fault:
            case Fault.NO_ANSWER:
                return NoAnswer("fault: no answer")
            case Fault.NOT_FOUND_BY_INGRESS:
                self.reached_situations.add(fault.value)
                return self.contract.lookup_answer(Reply(404, PROXY_PAGE), PAYMENT)
            case _:
                return self._record(provider)

    def _charge(self, attempt: Attempt) -> int:
        """A provider's handler: it charges a correlationId once, and then answers 422."""
        if any(charge.provider == attempt.provider for charge in self.charges):
            self.reached_situations.add("duplicate")
            return 422
        self.charges.append(attempt)
        return 200

    def _record(self, provider: ProviderName) -> LookupAnswer:
        for charge in self.charges:
            if charge.provider == provider:
                return self.contract.lookup_answer(Reply(200, attempt_body(charge)), PAYMENT)
        return self.contract.lookup_answer(Reply(404, b""), PAYMENT)


def _processed_by_resolution(attempt: Attempt, requested_at_us: int, resolution: ManualResolution) -> PaymentProcessed:
    return PaymentProcessed(
        PAYMENT, AMOUNT_CENTS, attempt.attempt, attempt.provider, requested_at_us, resolution.resolved_at_us, resolution
    )


def _is_in_history(event: Event) -> bool:
    """Whether it is part of the payment's history."""
    return _is_ours(event) and not isinstance(event, PaymentRequested)


def _is_ours(event: Event) -> bool:
    return getattr(event, "correlation_id", None) == PAYMENT
