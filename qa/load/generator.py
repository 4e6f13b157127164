"""Sends payments at a constant rate, and repeats each under the same id until it has an outcome."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from qa.load.audit import Sent
from qa.load.client import NoAnswerError, Pool
from qa.load.money import decimal_text
from qa.load.pace import keep_pace

PATIENCE_SECONDS = 30.0
ATTEMPTS_MAX = 30
ANSWER_SECONDS_MAX = 10.0
PAUSE_FIRST_SECONDS = 0.05
PAUSE_GROWTH = 1.6
PAUSE_SECONDS_MAX = 2.0
REFUSALS_KEPT_MAX = 20


class Verdict(Enum):
    """The meaning of an answer's status to the client."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    AGAIN = "again"


def verdict(status: int) -> Verdict:
    """202 accepts, every other 4xx than 408 and 429 refuses, anything else is to be repeated."""
    if status == 202:
        return Verdict.ACCEPTED
    if 400 <= status < 500 and status not in {408, 429}:
        return Verdict.REFUSED
    return Verdict.AGAIN


def pauses() -> Iterator[float]:
    """The pauses in seconds between the repeats of a payment: growing, capped, and limited in number."""
    pause_seconds = PAUSE_FIRST_SECONDS
    for _ in range(ATTEMPTS_MAX - 1):
        yield pause_seconds
        pause_seconds = min(pause_seconds * PAUSE_GROWTH, PAUSE_SECONDS_MAX)


@dataclass(slots=True)
class Tally:
    """Counts and times of the requests; times in seconds."""

    offered: int = 0
    skipped: int = 0
    """Payments not sent, because too many were in flight."""
    retries: int = 0
    connection_errors: int = 0
    first_try_503: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    from_schedule: array[float] = field(default_factory=lambda: array("d"))
    """Time from a payment's schedule to its 202, with repeats and pauses."""
    from_send: array[float] = field(default_factory=lambda: array("d"))
    """Time from sending the request that got the 202 to that answer."""
    lateness: array[float] = field(default_factory=lambda: array("d"))
    """Time from a payment's schedule to its first send, of those whose first request was answered."""


class Generator:
    def __init__(self, pool: Pool, draw_cents: Callable[[], int], in_flight_max: int) -> None:
        self.sent = Sent()
        self.tally = Tally()
        self._pool = pool
        self._draw_cents = draw_cents
        self._in_flight_max = in_flight_max
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self, rate_per_second: float, seconds: float) -> None:
        """Returns when every payment has its outcome, at most PATIENCE_SECONDS (and one answer) after the last send."""
        await keep_pace(rate_per_second, round(rate_per_second * seconds), self._begin)
        while self._in_flight:
            await asyncio.gather(*self._in_flight)
        with_outcome = len(self.sent.accepted) + len(self.sent.refused) + len(self.sent.unknown)
        if self.tally.offered != with_outcome + self.tally.skipped:
            # A payment missing in the audit would look like a fault of the gateway.
            raise RuntimeError(f"{self.tally.offered} payments begun, {with_outcome} ended")

    def _begin(self, due_at: float) -> None:
        self.tally.offered += 1
        if len(self._in_flight) >= self._in_flight_max:
            # Waiting instead would delay the schedule, and hide the missing answers from the figures.
            self.tally.skipped += 1
            return
        task = asyncio.create_task(self._pay(str(uuid.uuid4()), self._draw_cents(), due_at))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _pay(self, payment_id: str, cents: int, due_at: float) -> None:
        body = f'{{"correlationId":"{payment_id}","amount":{decimal_text(cents)}}}'.encode()
        request = self._pool.origin.request("POST", "/payments", body)
        give_up_at = time.perf_counter() + PATIENCE_SECONDS
        for attempt, pause_seconds in enumerate(chain(pauses(), [math.inf])):
            told = await self._attempt(request, due_at, give_up_at, first=attempt == 0)
            if told is Verdict.ACCEPTED:
                self.sent.accepted[payment_id] = cents
                return
            if told is Verdict.REFUSED:
                self.sent.refused[payment_id] = cents
                return
            if time.perf_counter() + pause_seconds >= give_up_at:
                break
            await asyncio.sleep(pause_seconds)
            self.tally.retries += 1
        self.sent.unknown[payment_id] = cents

    async def _attempt(self, request: bytes, due_at: float, give_up_at: float, *, first: bool) -> Verdict:
        left_seconds = max(0.001, give_up_at - time.perf_counter())
        try:
            answer = await self._pool.ask(request, min(ANSWER_SECONDS_MAX, left_seconds), wait_seconds=left_seconds)
        except NoAnswerError:
            self.tally.connection_errors += 1
            return Verdict.AGAIN
        self.tally.statuses[answer.status] += 1
        if first:
            self.tally.lateness.append(answer.sent_at - due_at)
            self.tally.first_try_503 += answer.status == 503
        told = verdict(answer.status)
        if told is Verdict.ACCEPTED:
            self.tally.from_schedule.append(answer.answered_at - due_at)
            self.tally.from_send.append(answer.answered_at - answer.sent_at)
        elif told is Verdict.REFUSED and len(self.tally.refusals) < REFUSALS_KEPT_MAX:
            self.tally.refusals.append(f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}")
        return told
