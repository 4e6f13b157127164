"""The steps of one delivery, one by one: what is written before what is sent, and where a payment may go from there."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.processor.charging.charging_environment import (
    AMOUNT_CENTS,
    OTHER_PAYMENT,
    PAYMENT,
    Append,
    Call,
    CatchUp,
    DirectedRouter,
    Environment,
    Fault,
    Find,
    LookUpPayment,
    Reach,
    RightClock,
    Send,
)
from tollgate.contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
    ProviderName,
)
from tollgate.contract.payment_state import Ended, Open, Unrouted
from tollgate.contract.timestamps import now_us
from tollgate.messaging.log import Appended
from tollgate.messaging.read_model_client import ReadModel
from tollgate.processor.charging.attempts import APPENDS_MAX, Attempts
from tollgate.processor.charging.doubt_handler import RESEND_SECONDS_MAX
from tollgate.processor.charging.handler import (
    ATTEMPTS_MAX,
    CLOCK_PAUSE_SECONDS,
    RETRY_SECONDS_MAX,
    RETRY_SECONDS_MIN,
    STAMP_AGE_SECONDS_MAX,
    Done,
    PaymentHandler,
    Result,
    Retry,
    Work,
    retry_delay_seconds,
)
from tollgate.processor.charging.lookups import Lookups
from tollgate.processor.charging.payment_states import PaymentStates
from tollgate.processor.charging.provider_client import ProviderClient
from tollgate.processor.charging.provider_log import ProviderEvent
from tollgate.processor.charging.state_cache import StateCache
from tollgate.runtime.clock import SystemClock
from tollgate.runtime.errors import BrokerUnavailableError
from tollgate.runtime.log_fields import LogFields, about

MakeEnvironment = Callable[..., Environment]
STEPS_MAX = 40


def go_on_until(
    environment: Environment, kind: type[Call], number: int = 0, direction: ProviderName = "default"
) -> Call:
    """Lets the worker go on, with nothing going wrong, until it waits for a call of this kind.

    Of what is to be done, it takes the oldest first.
    """
    for _ in range(STEPS_MAX):
        environment.step(number, Fault.NONE, direction)
        if isinstance(call := environment.call_of(number), kind):
            return call
        assert call is not None or environment.undone(), f"nothing was left to do before it waited for {kind.__name__}"
    raise AssertionError(f"it never waits for {kind.__name__}")


def finish(environment: Environment, number: int = 0, direction: ProviderName | None = "default") -> Result:
    """Lets the worker go on, with nothing going wrong, until the delivery is over."""
    result = environment.step(number, Fault.NONE, direction)
    while result is None:
        assert environment.call_of(number) is not None
        result = environment.step(number, Fault.NONE, direction)
    return result


def kinds(environment: Environment) -> list[type[Event]]:
    """The events in the log after the request."""
    return [type(event) for event in environment.log[1:]]


def noted(environment: Environment) -> list[ProviderEvent]:
    """The lines of the program log of the first worker, in order."""
    return [event for _, event, _, _ in environment.workers[0].notes]


def test_the_intent_is_in_the_log_and_read_there_before_the_first_byte_leaves(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment()
    environment.step(0, Fault.NONE)
    assert isinstance(environment.call_of(0), Append)
    environment.step(0, Fault.NONE)
    assert environment.call_of(0) == Reach(2)
    assert kinds(environment) == [PaymentRouted]
    environment.step(0, Fault.NONE)
    assert environment.call_of(0) == Send(environment.log[1])  # type: ignore[arg-type]
    assert finish(environment) == Done()
    assert kinds(environment) == [PaymentRouted, PaymentProcessed]


def test_a_payment_is_done_only_when_its_end_is_in_the_log(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    assert environment.step(0, Fault.NONE) is None
    assert environment.step(0, Fault.NEVER_STORED) is None
    assert environment.call_of(0) is None
    while environment.undone():
        assert finish(environment) == Done()
    assert environment.payment_state() == Ended()
    assert len(environment.charges) == 1


@pytest.mark.parametrize(
    "fault", [Fault.STORED_NOT_ACKNOWLEDGED, Fault.STORED_LATER, Fault.NEVER_STORED], ids=lambda fault: str(fault.value)
)
def test_nothing_is_sent_for_an_intent_that_is_not_acknowledged(
    make_environment: MakeEnvironment, fault: Fault
) -> None:
    environment = make_environment()
    environment.step(0, Fault.NONE)
    environment.step(0, fault)
    assert environment.call_of(0) is None
    assert not environment.charges


def test_nothing_is_sent_while_the_log_is_not_read_up_to_the_intent(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Reach)
    environment.step(0, Fault.NOT_READ)
    assert environment.call_of(0) is None


def test_an_intent_stored_after_that_of_another_worker_is_not_sent(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    environment.step(0, Fault.NONE, "default")
    environment.step(1, Fault.NONE, "fallback")
    environment.step(1, Fault.NONE, "fallback")
    environment.forget_message_ids()
    call = go_on_until(environment, Send, 0)
    assert isinstance(call, Send)
    assert call.attempt.provider == "fallback"
    assert kinds(environment) == [PaymentRouted, PaymentRouted, PaymentInDoubt]
    fields = about(correlation_id=PAYMENT, attempt=1, reason="attempt 1")
    void, doubt = environment.workers[0].notes
    assert void == ("default", "intent_void", f"attempt 1 ({PAYMENT})", fields)
    assert doubt[:3] == ("fallback", "payment_in_doubt", f"found open in the log ({PAYMENT})")
    assert environment.workers[1].notes == []


def test_an_intent_that_was_put_in_doubt_meanwhile_is_not_sent_as_a_new_attempt(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment()
    go_on_until(environment, Reach, 0)
    go_on_until(environment, Send, 1)
    environment.step(0, Fault.READ_FURTHER)
    while environment.call_of(0) is not None:
        environment.step(0, Fault.CONNECTION_REFUSED if isinstance(environment.call_of(0), Send) else Fault.NONE)
    assert isinstance(environment.payment_state(), Open)
    assert PaymentReleased not in kinds(environment)


def test_a_timeout_is_recorded_as_a_doubt_at_once(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.CHARGED_LATE)
    assert finish(environment) == Done()
    assert kinds(environment) == [PaymentRouted, PaymentInDoubt]
    assert [item.sequence for item in environment.undone()] == [3], (
        "the request is done with, and the doubt is to be done"
    )


def test_a_request_is_not_done_before_the_log_holds_its_doubt(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.REQUEST_LOST)
    assert isinstance(environment.call_of(0), Append)
    environment.step(0, Fault.NEVER_STORED)
    assert environment.call_of(0) is None
    assert [item.sequence for item in environment.undone()] == [1]


def test_a_request_whose_attempt_is_in_doubt_is_done_without_a_call(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.REQUEST_LOST)
    environment.step(0, Fault.STORED_NOT_ACKNOWLEDGED)
    environment.read(1, 3)
    assert environment.step(1, Fault.NONE) == Done()
    assert kinds(environment) == [PaymentRouted, PaymentInDoubt]


def test_a_doubt_of_a_payment_that_the_same_worker_sent_is_not_looked_up_in_the_log(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.REQUEST_LOST)
    finish(environment)
    finish(environment)
    assert "looked up" not in environment.reached_situations


def test_a_doubt_that_is_not_cached_is_looked_up_in_the_log_once(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    sent = go_on_until(environment, Send)
    environment.step(0, Fault.REQUEST_LOST)
    finish(environment)
    environment.crash(1, Fault.NONE, start_sequence=4)
    assert isinstance(go_on_until(environment, LookUpPayment, 1), LookUpPayment)
    environment.step(1, Fault.NONE)
    while not isinstance(call := environment.call_of(1), Send):
        assert not isinstance(call, LookUpPayment)
        environment.step(1, Fault.NONE)
    assert call == sent
    assert finish(environment, 1) == Done()
    assert not environment.undone()


def test_a_doubt_that_an_operator_released_is_done_and_its_payment_is_routed_anew(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.REQUEST_LOST)
    finish(environment)
    environment.operator_resolves_at_once()
    assert kinds(environment)[-1] is PaymentReleased
    environment.read(0, len(environment.log))
    while environment.undone()[0].sequence != len(environment.log):
        assert finish(environment) == Done()
    assert not environment.charges
    sent = go_on_until(environment, Send, 0, "fallback")
    assert isinstance(sent, Send)
    assert (sent.attempt.attempt, sent.attempt.provider) == (2, "fallback")
    assert noted(environment) == ["payment_in_doubt", "manual_resolution", "manual_resolution"], (
        "a hold, then the release"
    )
    assert finish(environment) == Done()
    assert not environment.undone()


def test_a_release_by_a_worker_is_done_without_a_call(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.CONNECTION_REFUSED)
    go_on_until(environment, Reach)
    released = environment.items[-1]
    assert isinstance(released.event, PaymentReleased)
    assert environment.step(1, Fault.NONE, item=released) == Done()
    assert len(environment.undone()) == 1


@pytest.mark.parametrize("elsewhere", [0, 1], ids=["the same worker", "another worker"])
def test_a_payment_in_doubt_goes_back_only_where_it_may_have_been_charged(
    make_environment: MakeEnvironment, elsewhere: int
) -> None:
    environment = make_environment()
    sent = go_on_until(environment, Send)
    environment.step(0, Fault.CHARGED_LATE)
    finish(environment)
    environment.forget_message_ids()
    assert go_on_until(environment, Send, elsewhere, "fallback") == sent


def test_an_attempt_that_is_found_open_is_put_in_doubt_before_it_is_sent_again(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment()
    sent = go_on_until(environment, Send)
    environment.crash(0, Fault.REQUEST_LOST)
    environment.read(0, 2)
    assert go_on_until(environment, Send, 0, "fallback") == sent
    assert kinds(environment) == [PaymentRouted, PaymentInDoubt]


def test_only_a_charge_among_the_answers_to_a_later_sending_ends_a_doubt(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.CHARGED_LATE)
    finish(environment)
    for fault in (Fault.CONNECTION_REFUSED, Fault.TOO_MANY_REQUESTS, Fault.BAD_REQUEST, Fault.ERROR_UNCHARGED):
        go_on_until(environment, Send)
        environment.step(0, fault)
        if environment.call_of(0) is not None:
            assert isinstance(finish(environment), Retry)
    assert kinds(environment) == [PaymentRouted, PaymentInDoubt]
    go_on_until(environment, Send)
    assert finish(environment) == Done()
    assert kinds(environment) == [PaymentRouted, PaymentInDoubt, PaymentProcessed]
    assert noted(environment) == ["payment_in_doubt", "doubt_ended"]


def test_a_payment_is_not_rejected_while_the_sending_of_another_worker_may_still_charge(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment()
    go_on_until(environment, Send, 0)
    environment.read(1, 2)
    go_on_until(environment, Send, 1)
    environment.step(1, Fault.CHARGED_LATE)
    environment.step(0, Fault.BAD_REQUEST)
    while environment.call_of(0) is not None:
        environment.step(0, Fault.NONE)
        assert environment.payment_state() != Ended() or PaymentProcessed in kinds(environment)
    environment.heal()
    assert PaymentProcessed in kinds(environment)


def test_a_refusal_without_a_doubt_rejects(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.BAD_REQUEST)
    assert finish(environment) == Done()
    assert kinds(environment) == [PaymentRouted, PaymentRejected]
    ((provider, event, text, fields),) = environment.workers[0].notes
    assert (provider, event) == ("default", "payment_rejected")
    assert text == f"{fields['reason']} ({PAYMENT})"
    assert (fields["correlation_id"], fields["attempt"]) == (PAYMENT, 1)


@pytest.mark.parametrize("fault", [Fault.CONNECTION_REFUSED, Fault.TOO_MANY_REQUESTS])
def test_an_attempt_that_never_reached_the_provider_is_released_and_the_next_may_go_elsewhere(
    make_environment: MakeEnvironment, fault: Fault
) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, fault)
    assert finish(environment, direction="fallback") == Done()
    assert kinds(environment) == [PaymentRouted, PaymentReleased, PaymentRouted, PaymentProcessed]
    assert [(charge.attempt, charge.provider) for charge in environment.charges] == [(2, "fallback")]


def test_a_failed_attempt_is_looked_up_before_it_is_released(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.ERROR_UNCHARGED)
    assert environment.call_of(0) == Find("default")
    assert finish(environment, direction="fallback") == Done()
    assert [charge.provider for charge in environment.charges] == ["fallback"]


def test_a_failed_attempt_that_charged_is_processed(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.ERROR_CHARGED)
    assert finish(environment, direction="fallback") == Done()
    assert kinds(environment) == [PaymentRouted, PaymentProcessed]


def test_an_attempt_whose_stamp_grew_old_while_it_was_stored_is_not_sent(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Reach)
    environment.clock.sleep(STAMP_AGE_SECONDS_MAX + 0.1)
    environment.step(0, Fault.NONE)
    assert isinstance(environment.call_of(0), Append)
    call = go_on_until(environment, Send)
    assert isinstance(call, Send)
    assert call.attempt.attempt == 2
    assert kinds(environment) == [PaymentRouted, PaymentReleased, PaymentRouted]
    assert noted(environment) == ["attempt_not_sent"]


def test_an_attempt_whose_stamp_is_young_enough_is_sent(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Reach)
    environment.clock.sleep(STAMP_AGE_SECONDS_MAX - 0.1)
    environment.step(0, Fault.NONE)
    assert isinstance(environment.call_of(0), Send)


def test_an_ended_payment_that_is_delivered_again_is_done_without_an_event(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    finish(environment)
    environment.read(0, 3)
    assert environment.step(0, Fault.NONE) == Done()
    assert kinds(environment) == [PaymentRouted, PaymentProcessed]


def test_a_payment_that_has_to_wait_goes_back_to_the_queue_for_the_routers_pause(
    make_environment: MakeEnvironment,
) -> None:
    environment = make_environment()
    result = environment.step(0, Fault.NONE, None)
    assert isinstance(result, Retry)
    assert result.delay_seconds >= 0.5
    assert kinds(environment) == []


def test_a_doubt_waits_for_its_own_provider_when_that_takes_nothing(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.CHARGED_LATE)
    finish(environment)
    assert isinstance(finish(environment, direction=None), Retry)
    assert kinds(environment) == [PaymentRouted, PaymentInDoubt]


def test_a_delivery_tries_a_bounded_number_of_attempts(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    result = environment.step(0, Fault.NONE)
    sent = 0
    while result is None:
        is_sending = isinstance(environment.call_of(0), Send)
        sent += is_sending
        result = environment.step(0, Fault.CONNECTION_REFUSED if is_sending else Fault.NONE)
    assert isinstance(result, Retry)
    assert sent == ATTEMPTS_MAX


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_retry_comes_after_at_least_half_and_at_most_all_of_a_pause_that_doubles_up_to_its_bound(
    deliveries: int, spread: float
) -> None:
    pause = min(RETRY_SECONDS_MIN * 2 ** min(deliveries - 1, 20), RETRY_SECONDS_MAX)
    assert pause / 2 <= retry_delay_seconds(deliveries, spread) <= pause


def test_retries_are_spread_and_grow() -> None:
    assert retry_delay_seconds(1, 0.0) == RETRY_SECONDS_MIN / 2
    assert retry_delay_seconds(2, 0.0) == RETRY_SECONDS_MIN
    assert retry_delay_seconds(1, 0.5) == pytest.approx(RETRY_SECONDS_MIN * 0.75)
    assert retry_delay_seconds(10**9, 0.0) == RETRY_SECONDS_MAX / 2


def in_doubt_and_looked_up(make_environment: MakeEnvironment) -> Environment:
    """A worker that has looked up the attempt in doubt, found no charge, and checks the log once more."""
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.REQUEST_LOST)
    finish(environment)
    go_on_until(environment, CatchUp)
    return environment


def test_an_attempt_in_doubt_is_sent_again_only_after_the_log_was_checked_for_a_hold(
    make_environment: MakeEnvironment,
) -> None:
    environment = in_doubt_and_looked_up(make_environment)
    environment.step(0, Fault.NONE)
    assert isinstance(environment.call_of(0), Send)


def test_an_attempt_that_an_operator_holds_meanwhile_is_not_sent_again(make_environment: MakeEnvironment) -> None:
    environment = in_doubt_and_looked_up(make_environment)
    environment.operator_reads()
    environment.operator_resolves()
    assert isinstance(environment.step(0, Fault.READ_FURTHER), Retry)
    assert not environment.charges


def test_an_attempt_that_an_operator_released_meanwhile_is_not_sent_again(make_environment: MakeEnvironment) -> None:
    environment = in_doubt_and_looked_up(make_environment)
    environment.operator_resolves_at_once()
    assert isinstance(environment.step(0, Fault.READ_FURTHER), Retry)
    assert environment.payment_state() == Unrouted(2)


def test_an_attempt_in_doubt_is_not_sent_by_a_worker_that_was_paused_after_it_checked_the_log(
    make_environment: MakeEnvironment,
) -> None:
    environment = in_doubt_and_looked_up(make_environment)
    environment.clock.sleep(RESEND_SECONDS_MAX + 1)
    assert isinstance(environment.step(0, Fault.NONE), Retry)


def test_a_held_attempt_is_only_looked_up_and_a_found_charge_ends_it(make_environment: MakeEnvironment) -> None:
    environment = make_environment()
    go_on_until(environment, Send)
    environment.step(0, Fault.CHARGED_LATE)
    finish(environment)
    environment.operator_reads()
    environment.operator_resolves()
    environment.read(0, len(environment.log))
    assert isinstance(go_on_until(environment, Find), Find)
    assert isinstance(environment.step(0, Fault.NONE), Retry)
    environment.charge_late()
    assert finish(environment) == Done()
    assert kinds(environment) == [PaymentRouted, PaymentInDoubt, PaymentInDoubt, PaymentProcessed]
    assert noted(environment)[-1] == "doubt_ended"


class SilentLog:
    """Answers no append until it is released; then it fails every one."""

    may_take = True

    def __init__(self) -> None:
        self.state_cache = StateCache(1, set())
        self.asked = self.on_the_way = self.on_the_way_max = 0
        self.gives_up = asyncio.Event()
        self.notes: list[tuple[ProviderName, ProviderEvent, str, LogFields]] = []

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        self.asked += 1
        self.on_the_way += 1
        self.on_the_way_max = max(self.on_the_way_max, self.on_the_way)
        await self.gives_up.wait()
        self.on_the_way -= 1
        raise BrokerUnavailableError(f"{event} not within {timeout_seconds} s")

    async def reached(self, sequence: int, *, timeout_seconds: float) -> None:
        raise AssertionError(f"nothing was stored, so {sequence} is not waited for ({timeout_seconds} s)")

    def note(self, provider: ProviderName, event: ProviderEvent, text: str, fields: LogFields) -> None:
        self.notes.append((provider, event, text, fields))

    async def caught_up(self, provider: ProviderName, *, timeout_seconds: float) -> None:
        raise AssertionError(f"there is no doubt at {provider} to wait for ({timeout_seconds} s)")


def handler_of(log: SilentLog, router: DirectedRouter, clock: RightClock) -> PaymentHandler:
    return PaymentHandler(
        log,
        log,
        PaymentStates(log.state_cache, cast("Lookups", None)),
        Attempts(log, log, cast("ProviderClient", None), SystemClock(), log),
        router,
        read_model=cast("ReadModel", None),
        clock=clock,
        system_clock=SystemClock(),
    )


async def test_events_beyond_the_bound_wait_until_others_are_stored() -> None:
    log = SilentLog()
    handler = handler_of(log, DirectedRouter(), RightClock())
    works = [
        Work(PaymentRequested(OTHER_PAYMENT.format(number), AMOUNT_CENTS, now_us()), number, 1, now_us())
        for number in range(1, 2 * APPENDS_MAX + 1)
    ]
    handling = [asyncio.ensure_future(handler.handle(work)) for work in works]
    await asyncio.sleep(0)
    assert log.on_the_way == APPENDS_MAX
    log.gives_up.set()
    results = await asyncio.gather(*handling, return_exceptions=True)
    assert all(isinstance(result, BrokerUnavailableError) for result in results)
    assert (log.asked, log.on_the_way_max) == (2 * APPENDS_MAX, APPENDS_MAX)


@pytest.mark.parametrize("looks", [0, 1])
async def test_with_a_clock_that_is_off_no_intent_is_written_and_no_place_kept(looks: int) -> None:
    """Before the payment is routed, and while the intent waits to be stored."""
    log, router = SilentLog(), DirectedRouter()
    handler = handler_of(log, router, RightClock(looks))
    request = PaymentRequested(OTHER_PAYMENT.format(1), AMOUNT_CENTS, now_us())
    result = await handler.handle(Work(request, 1, 1, now_us()))
    assert isinstance(result, Retry)
    assert result.delay_seconds >= CLOCK_PAUSE_SECONDS
    assert (log.asked, router.places_taken) == (0, 0)


class LateLog(SilentLog):
    """Stores an intent so late that it is void, and everything else at once."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        del timeout_seconds
        self.events.append(event)
        self.state_cache.apply(len(self.events), event, is_late=isinstance(event, PaymentRouted))
        return Appended(len(self.events))

    async def reached(self, sequence: int, *, timeout_seconds: float) -> None:
        assert sequence <= len(self.events)
        assert timeout_seconds > 0


class SuspectClock(RightClock):
    """Is wrong after `suspect`, as long as the broker's time was not asked for."""

    @property
    def is_right(self) -> bool:
        return not self.suspicions


async def test_after_an_intent_was_stored_late_the_clock_is_checked_before_the_next_intent() -> None:
    log, clock = LateLog(), SuspectClock()
    handler = handler_of(log, DirectedRouter(), clock)
    request = PaymentRequested(OTHER_PAYMENT.format(1), AMOUNT_CENTS, now_us())
    assert isinstance(await handler.handle(Work(request, 1, 1, now_us())), Retry)
    assert [type(event) for event in log.events] == [PaymentRouted, PaymentReleased]
    assert clock.suspicions == 1
