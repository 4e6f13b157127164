"""The clients: payments at a constant rate, repeats, conflicting repeats, and queries of summaries."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Coroutine
from datetime import timedelta
from http import HTTPStatus
from itertools import chain, repeat
from typing import Any

from qa.chaos.clock import moment_of, now_us
from qa.chaos.history import Asked, Outcome, Purpose, Request, Try
from qa.load.client import NoAnswerError, Pool
from qa.load.generator import Verdict, pauses, verdict
from qa.load.money import RANDOM_CENTS_MAX, RANDOM_CENTS_MIN, decimal_text
from qa.load.pace import keep_pace
from qa.load.provider_records import UnreadableError, read_summary
from qa.load.window import Window

ANSWER_SECONDS_MAX = 8.0
PATIENCE_SECONDS = 20.0
HASTY_SHARE = 0.1
"""The share of clients that leave after their first unanswered try."""
REPEAT_SECONDS_MAX = 6.0
ASK_EVERY_SECONDS = 0.25
ASKING_MAX = 8
LOOK_SHARE = 0.1
"""The share of accepted payments that are looked up later."""


class Customers:
    """All clients of a run; `requests` and `asked` record everything they sent."""

    def __init__(self, paying: Pool, asking: Pool, seed: int) -> None:
        self.requests: list[Request] = []
        self.asked: list[Asked] = []
        self.forgotten: list[str] = []
        self.began_us = now_us()
        self._paying = paying
        self._asking = asking
        self._rng = random.Random(seed)  # noqa: S311 - wanted: the same payments again for the same seed
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []
        self._asking_now = 0

    async def pay(self, rate_per_second: float, seconds: float) -> None:
        """Starts new payments for the given time; started ones continue."""
        await keep_pace(rate_per_second, round(rate_per_second * seconds), lambda _: self._begin())

    async def ask(self) -> None:
        """Queries summaries until cancelled."""
        while True:
            if self._asking_now < ASKING_MAX:
                self._spawn(self._ask_summary(self._window()))
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def done(self) -> None:
        """Waits until every client has its answer or has given up."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._faults:
            raise self._faults[0]

    def abandon(self) -> None:
        """Cancels every client; answers still missing stay unknown."""
        for task in self._tasks:
            task.cancel()

    async def pay_one(self) -> Request:
        """A single payment, beside the load."""
        request = self._request(self._id(), "first")
        await self._keep_asking(request)
        return request

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._faults.append(fault)

    def _begin(self) -> None:
        # All random numbers are drawn here, in the order of time, so that a seed always makes the same payments.
        first = self._request(self._id(), "first")
        kind = self._rng.random()
        later_seconds = self._rng.uniform(0.02, REPEAT_SECONDS_MAX)
        look = self._rng.random() < LOOK_SHARE
        if kind < 0.08:
            self._spawn(self._pay(self._again(first, "repeat")))
        elif kind < 0.16:
            self._spawn(self._pay(self._again(first, "repeat"), later_seconds))
        elif kind < 0.20:
            self._spawn(self._pay(self._again(first, "conflict")))
        elif kind < 0.24:
            self._spawn(self._pay(self._again(first, "conflict"), later_seconds))
        self._spawn(self._pay(first, look_seconds=later_seconds if look else None))

    def _id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def _request(self, payment_id: str, purpose: Purpose) -> Request:
        request = Request(payment_id, self._rng.randint(RANDOM_CENTS_MIN, RANDOM_CENTS_MAX), purpose)
        self.requests.append(request)
        return request

    def _again(self, first: Request, purpose: Purpose) -> Request:
        request = Request(first.payment_id, first.cents + (1 if purpose == "conflict" else 0), purpose)
        self.requests.append(request)
        return request

    async def _pay(self, request: Request, after_seconds: float = 0.0, look_seconds: float | None = None) -> None:
        hasty = self._hash(request) < HASTY_SHARE
        if after_seconds:
            await asyncio.sleep(after_seconds)
        await self._keep_asking(request, hasty=hasty)
        if look_seconds is not None and request.outcome == "ok":
            await asyncio.sleep(look_seconds)
            await self._look(request)

    @staticmethod
    def _hash(request: Request) -> float:
        """A number in [0, 1) derived from the request, independent of the order of answers."""
        return random.Random(f"{request.payment_id} {request.purpose}").random()  # noqa: S311

    async def _keep_asking(self, request: Request, *, hasty: bool = False) -> None:
        body = f'{{"correlationId":"{request.payment_id}","amount":{decimal_text(request.cents)}}}'.encode()
        message = self._paying.origin.request("POST", "/payments", body)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        for pause_seconds in chain(pauses(), repeat(0.0)):
            told = await self._try(request, message)
            if told is not Verdict.AGAIN:
                request.outcome = _outcome(told)
                return
            if hasty or not pause_seconds or time.monotonic() + pause_seconds >= give_up_at:
                return
            await asyncio.sleep(pause_seconds)

    async def _try(self, request: Request, message: bytes) -> Verdict:
        tried = Try(now_us(), 0, None)
        request.tries.append(tried)
        try:
            answer = await self._paying.ask(message, ANSWER_SECONDS_MAX)
        except NoAnswerError as fault:
            tried.answered_at_us, tried.note = now_us(), str(fault)
            return Verdict.AGAIN
        tried.answered_at_us, tried.status = now_us(), answer.status
        told = verdict(answer.status)
        if told is not Verdict.ACCEPTED:
            tried.note = answer.body[:160].decode("utf-8", "replace")
        return told

    async def _look(self, request: Request) -> None:
        """Looks up an accepted payment: it must be found, or the answer be 503."""
        try:
            target = f"/payments/{request.payment_id}"
            answer = await self._asking.ask(self._asking.origin.request("GET", target), ANSWER_SECONDS_MAX)
        except NoAnswerError:
            return
        if answer.status == HTTPStatus.NOT_FOUND:
            self.forgotten.append(request.payment_id)

    def _window(self) -> Window:
        now = now_us()
        back_us = self._rng.choice((1_200_000, 1_500_000, 2_500_000, 5_000_000))
        start_us = self._rng.choice((self.began_us - 1_000_000, now - back_us - 2_000_000))
        return window_of(min(start_us, now - back_us), now - back_us)

    async def _ask_summary(self, window: Window) -> None:
        self._asking_now += 1
        asked_at = now_us()
        message = self._asking.origin.request("GET", f"/payments-summary?{window.query}")
        try:
            answer = await self._asking.ask(message, ANSWER_SECONDS_MAX)
            given = read_summary(answer.body) if answer.status == HTTPStatus.OK else None
            settled = answer.headers.get("tollgate-settled") == "true"
            self.asked.append(Asked(window, asked_at, answer.status, given, settled))
        except NoAnswerError:
            self.asked.append(Asked(window, asked_at, None))
        except UnreadableError as fault:
            raise RuntimeError(f"a summary that is none: {fault}") from fault
        finally:
            self._asking_now -= 1


def window_of(start_us: int, end_us: int) -> Window:
    """A window in whole milliseconds, like the query of a summary."""
    start, end = (moment_of(us - us % 1_000) for us in (start_us, end_us))
    return Window(start, end)


def whole_window(began_us: int) -> Window:
    """A window that holds everything since the run began, by any of the set clocks."""
    return Window(moment_of(began_us) - timedelta(hours=2), moment_of(now_us()) + timedelta(hours=2))


def _outcome(told: Verdict) -> Outcome:
    return "ok" if told is Verdict.ACCEPTED else "refused"
