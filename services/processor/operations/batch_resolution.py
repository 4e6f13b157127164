"""Manual resolution of many attempts in doubt: each is examined and recorded as a single one is, several at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tollgate.contract.events import PaymentInDoubt, ProviderName
from tollgate.contract.payment_state import Open
from tollgate.contract.subjects import DOUBTS_CONSUMERS
from tollgate.contract.timestamps import MICROSECONDS, now_us
from tollgate.messaging.charging_facts import ask_queue
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_reader import LogReader
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.messaging.validity import valid_events
from tollgate.processor.charging.histories import Histories, UnknownPaymentError
from tollgate.processor.operations.manual_resolution import RequestedResolution, described
from tollgate.processor.operations.resolve import CannotResolveError, Examined, Resolver
from tollgate.runtime.errors import BrokerError

BATCH_MAX = 10_000
"""Payments in one batch."""
AT_ONCE = 8
"""Payments that are resolved at the same time."""
READ_MESSAGES_MAX = 1_000
QUESTION_TIMEOUT_SECONDS = 5.0

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Batch:
    """The payments, `ids`, and one resolution for all of them."""

    ids: Sequence[str]
    requested: RequestedResolution
    hold_seconds: float
    is_forced: bool = False
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """How many payments were resolved, and how many were not."""

    resolved: int
    failed: int


class BatchResolver:
    """Resolves a batch; `make` returns a resolver that reports its steps to the function that it is given."""

    def __init__(self, make: Callable[[Callable[[str], None]], Resolver], report: Callable[[str], None]) -> None:
        self._make = make
        self._report = report
        self._failed: set[str] = set()

    async def resolve(self, batch: Batch) -> Counted:
        """Reports a line for each payment. For `--not-charged` all are held first, and one wait serves all of them."""
        requested, is_forced = batch.requested, batch.is_forced

        async def examine(payment: str, resolver: Resolver) -> Examined:
            return await resolver.examine(payment, requested, is_forced=is_forced)

        doubts = await self._each({payment: payment for payment in batch.ids}, examine)
        if batch.is_dry_run:
            for payment, doubt in doubts.items():
                self._report(f"{payment} would be {_outcome(requested)}: {_shown(doubt)}")
        elif requested.is_charged:
            await self._each(doubts, lambda doubt, resolver: resolver.settle(requested, doubt), is_last=True)
        else:
            await self._hold_and_release(batch, doubts)
        return Counted(len(batch.ids) - len(self._failed), len(self._failed))

    async def _hold_and_release(self, batch: Batch, doubts: Mapping[str, Examined]) -> None:
        requested, is_forced = batch.requested, batch.is_forced
        await self._each(doubts, lambda doubt, resolver: resolver.hold(requested, doubt))
        held = {payment: doubt for payment, doubt in doubts.items() if payment not in self._failed}
        if held:
            # The wait begins after the last hold.
            self._report(f"{len(held)} held: no worker sends them any more; waiting {batch.hold_seconds:g} s")
            await asyncio.sleep(batch.hold_seconds)
        await self._each(
            held, lambda doubt, resolver: resolver.release(requested, doubt, is_forced=is_forced), is_last=True
        )

    async def _each(
        self, these: Mapping[str, T], step: Callable[[T, Resolver], Awaitable[R]], *, is_last: bool = False
    ) -> dict[str, R]:
        """Takes the step for each payment, AT_ONCE at once. Returns the results of those that did not fail."""
        done: dict[str, R] = {}
        waiting = iter(these.items())

        async def work() -> None:
            for payment, one in waiting:
                steps: list[str] = []
                try:
                    done[payment] = await step(one, self._make(steps.append))
                except (CannotResolveError, BrokerError, ReadModelUnavailableError) as error:
                    self._failed.add(payment)
                    self._report(f"{payment} not resolved: {error}")
                    continue
                if is_last:
                    self._report(f"{payment} {steps[-1]}")

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return done


def _outcome(requested: RequestedResolution) -> str:
    return "settled" if requested.is_charged else "held, and then released"


def _shown(doubt: Examined) -> str:
    attempt = doubt.payment_state.attempt
    return f"attempt {attempt.attempt} at {attempt.provider}, which answers {described(doubt.record)}"


async def doubts_at(
    broker: Broker, histories: Histories, provider: ProviderName, *, older_than_seconds: float, count_max: int
) -> list[str]:
    """The ids of the oldest payments that have been in doubt at the provider for that long. Raises BrokerError.

    The search begins in the log after the doubts that their queue is done with.
    """
    queue = await ask_queue(broker, DOUBTS_CONSUMERS[provider])
    if queue is None:
        raise BrokerError(f"the queue {DOUBTS_CONSUMERS[provider]} does not exist")
    begin, before_us = queue.floor + 1, now_us() - int(older_than_seconds * MICROSECONDS)
    found: dict[str, None] = {}
    async with LogReader(broker, begin, subjects=[f"payments.in_doubt.{provider}"]) as reader:
        async for messages in reader.to_the_end(READ_MESSAGES_MAX):
            for message in messages:
                if message.stored_at_us > before_us:
                    return list(found)
                for event in valid_events(message.sequence, message.subject, message.payload) or ():
                    if isinstance(event, PaymentInDoubt) and event.correlation_id not in found:
                        if await _is_in_doubt(histories, event):
                            found[event.correlation_id] = None
                        if len(found) == count_max:
                            return list(found)
    return list(found)


async def _is_in_doubt(histories: Histories, event: PaymentInDoubt) -> bool:
    try:
        payment_state = (await histories.of(event.correlation_id)).payment_state
    except UnknownPaymentError:
        return False
    return (
        isinstance(payment_state, Open) and payment_state.in_doubt and payment_state.attempt.provider == event.provider
    )
