"""Group commit: intents and charges are stored together, many with one message, one disk sync, one acknowledgement.

Every acknowledgement costs the broker a sync. That is most of the cost of storing, and every other append waits for it
(docs/decisions/0019).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.events import Event, PaymentProcessed, PaymentRouted
from tollgate.contract.subjects import subject_of
from tollgate.messaging.log import Appended, Log
from tollgate.runtime.tasks import set_errors, set_results, set_within

LINGER_SECONDS: Mapping[type[Event], float] = {PaymentRouted: 0.0, PaymentProcessed: 0.04}
"""The events that are grouped, and how long the first of a group waits for others. Intents are written together
anyway, because their requests are started together; answers arrive one by one."""


@dataclass(slots=True)
class _Group:
    """Events that will share a message, by correlationId."""

    timeout_seconds: float
    events: dict[str, Event] = field(default_factory=dict)
    is_closed: asyncio.Event = field(default_factory=asyncio.Event)
    callers: list[asyncio.Future[Appended]] = field(default_factory=list)

    def ended(self, storing: asyncio.Task[Appended]) -> None:
        """Gives the outcome to each caller that still waits."""
        if storing.cancelled():
            for caller in self.callers:
                caller.cancel()
        elif (error := storing.exception()) is not None:
            set_errors(self.callers, error)
        else:
            set_results(self.callers, storing.result())


class GroupCommit:
    """Appends events to the log as `Log` does, intents and charges in groups."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._open: dict[str, _Group] = {}
        self._storing: set[asyncio.Task[Appended]] = set()

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        """Stores the event durably. Raises as `Log.append` does.

        An event that is stored in a group has no message id of its own: appended again, it is in the log twice.
        The timeout of a group's first event holds for the whole group.
        """
        if not isinstance(event, PaymentRouted | PaymentProcessed):
            return await self._log.append(event, timeout_seconds=timeout_seconds)
        subject = subject_of(event)
        group = self._open.get(subject)
        if group is not None and event.correlation_id in group.events:
            self._close(subject)
            group = None
        if group is None:
            group = self._open[subject] = _Group(timeout_seconds)
            storing = asyncio.create_task(self._store(subject, group, LINGER_SECONDS[type(event)]))
            self._storing.add(storing)
            storing.add_done_callback(self._storing.discard)
            storing.add_done_callback(group.ended)
        group.events[event.correlation_id] = event
        if len(group.events) == EVENTS_MAX:
            self._close(subject)
        # One for each caller: a cancelled one must not cancel the append of the others.
        caller: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        group.callers.append(caller)
        return await caller

    def _close(self, subject: str) -> None:
        self._open.pop(subject).is_closed.set()

    async def _store(self, subject: str, group: _Group, linger_seconds: float) -> Appended:
        if not await set_within(group.is_closed, linger_seconds):
            self._close(subject)
        events = list(group.events.values())
        if len(events) == 1:
            return await self._log.append(events[0], timeout_seconds=group.timeout_seconds)
        return Appended(await self._log.append_together(events, timeout_seconds=group.timeout_seconds))
