"""Stores requests in groups: what gathers while one group is being stored goes into the next message.

The log holds each payment's request once: a group is stored only if the dedup index has read all earlier requests,
which the broker checks (docs/decisions/0030).
"""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from tollgate.contract.batch import EVENTS_MAX, part_of
from tollgate.contract.codec import decode
from tollgate.contract.events import PaymentRequested
from tollgate.gateway.dedup import DedupIndex
from tollgate.messaging.log import Log
from tollgate.messaging.log_reader import LogMessage
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError, LogMovedOnError
from tollgate.runtime.tasks import set_errors, set_results

INTERVAL_SECONDS = 0.005
"""From the start of a group to the start of the next, unless a whole group is waiting. So a request after a pause is
stored at once, and under load a few share each message (docs/decisions/0049-longer-groups.md)."""
NOT_NAMED_PAUSE_SECONDS = 0.005
"""The pause before another try when a replicated log is storing another group, and does not name it."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that is not known to be stored, and who waits for it.

    A future's result is the amount under which the payment is stored. Each caller has its own: one that is cancelled
    does not cancel the others.
    """

    request: PaymentRequested
    deadline: float
    stored_cents: list[asyncio.Future[int]] = field(default_factory=list)


class RequestWriter:
    """The only writer of requests in a gateway. One message is under way at a time."""

    def __init__(self, log: Log, dedup_index: DedupIndex) -> None:
        self._log = log
        self._dedup_index = dedup_index
        self._waiting: dict[str, _Waiting] = {}
        self._group: dict[str, _Waiting] = {}
        self._whole_group: asyncio.Future[None] | None = None
        """While the start of a group is awaited: done at its time, or as soon as a whole group is waiting."""
        self._next_group_at = 0.0
        self._writing: asyncio.Task[None] | None = None
        dedup_index.on_requests = self._on_requests

    async def store(self, request: PaymentRequested, *, timeout_seconds: float) -> int:
        """Stores the request, unless the payment was requested before.

        Returns the amount in cents of the payment's first request. The bound on waiting requests is the caller's.
        Raises BrokerUnavailableError at the timeout (the request may be in the log nevertheless), and LogFullError.
        """
        correlation_id = request.correlation_id
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(correlation_id) or self._group.get(correlation_id)
        if waiting is None:
            waiting = _Waiting(request, loop.time() + timeout_seconds)
            self._waiting[correlation_id] = waiting
            if len(self._waiting) >= EVENTS_MAX and self._whole_group is not None:
                set_results((self._whole_group,), None)
            if self._writing is None:
                self._writing = asyncio.create_task(self._write())
        stored_cents: asyncio.Future[int] = loop.create_future()
        waiting.stored_cents.append(stored_cents)
        return await stored_cents

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._until_next_group()
                self._group = self._next_group()
                if self._group:
                    await self._store_group()
        finally:
            self._writing = None
            if self._waiting or self._group:
                self._fail({**self._group, **self._waiting}, BrokerUnavailableError("requests are not stored any more"))

    async def _until_next_group(self) -> None:
        loop = asyncio.get_running_loop()
        if len(self._waiting) < EVENTS_MAX and self._next_group_at > loop.time():
            self._whole_group = loop.create_future()
            timer = loop.call_at(self._next_group_at, set_results, (self._whole_group,), None)
            await self._whole_group
            timer.cancel()
        self._next_group_at = loop.time() + INTERVAL_SECONDS

    def _next_group(self) -> dict[str, _Waiting]:
        """The oldest requests. Those whose time is over fail here."""
        now = asyncio.get_running_loop().time()
        group = dict(itertools.islice(self._waiting.items(), EVENTS_MAX))
        for correlation_id in group:
            del self._waiting[correlation_id]
        late = {one: waiting for one, waiting in group.items() if waiting.deadline <= now}
        self._fail(late, BrokerUnavailableError("the request was not stored in time"))
        return {one: waiting for one, waiting in group.items() if one not in late}

    async def _store_group(self) -> None:
        group, after = self._group, self._dedup_index.last_sequence
        deadline = min(waiting.deadline for waiting in group.values())
        requests = [waiting.request for waiting in group.values()]
        try:
            seconds = deadline - asyncio.get_running_loop().time()
            sequence = await self._log.append_requests(requests, after=after, timeout_seconds=seconds)
        except LogMovedOnError as error:
            self._waiting = {**self._group, **self._waiting}
            self._group = {}
            self._next_group_at = 0.0
            await self._until_read(error.last_sequence, deadline)
        except BrokerError as error:
            self._fail(self._group, error)
        else:
            self._dedup_index.note_stored(after, sequence, group)
            for waiting in self._group.values():
                set_results(waiting.stored_cents, waiting.request.amount_cents)
            self._group = {}

    async def _until_read(self, last_sequence: int | None, deadline: float) -> None:
        """Waits until the dedup index has read the log's last request. Those that are late afterwards fail next."""
        if last_sequence is None:
            await asyncio.sleep(NOT_NAMED_PAUSE_SECONDS)
        elif last_sequence < self._dedup_index.last_sequence:
            await self._dedup_index.looked(timeout_seconds=deadline - asyncio.get_running_loop().time())
            # After a new connection the log may have been restored from an older copy, and may have grown since.
            if self._dedup_index.is_current:
                self._dedup_index.note_last(last_sequence)
        else:
            try:
                await self._dedup_index.reached(last_sequence, deadline=deadline)
            except TimeoutError:
                return

    def _on_requests(self, message: LogMessage, correlation_ids: Sequence[str]) -> None:
        """Answers those that wait here and were stored by another gateway, or by an own message that seemed lost."""
        for correlation_id in correlation_ids:
            requests = self._waiting if correlation_id in self._waiting else self._group
            if correlation_id not in requests:
                continue
            event = part_of(message.subject, message.payload, correlation_id)
            if event is not None and isinstance(stored := decode(event), PaymentRequested):
                set_results(requests.pop(correlation_id).stored_cents, stored.amount_cents)

    @staticmethod
    def _fail(requests: dict[str, _Waiting], error: BrokerError) -> None:
        for waiting in requests.values():
            set_errors(waiting.stored_cents, error)
        requests.clear()
