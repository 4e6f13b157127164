"""Storing events of the plain course together: one message, one sync of the disk and one acknowledgement for many.

Every acknowledgement costs the broker a sync, which is most of what storing costs, and everything else that is to be
stored waits for it (docs/decisions/0019).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.events import Event, PaymentProcessed, PaymentRouted
from tollgate.contract.subjects import subject_of
from tollgate.messaging.log import Appended, Log

LINGER_SECONDS: Mapping[type[Event], float] = {PaymentRouted: 0.0, PaymentProcessed: 0.02}
"""What is stored together, and how long the first waits for others. Intents come together already, as their requests
do; answers come when they come."""


@dataclass(slots=True)
class _Group:
    """Events that will share a message, by payment."""

    timeout_seconds: float
    events: dict[str, Event] = field(default_factory=dict)
    is_closed: asyncio.Event = field(default_factory=asyncio.Event)
    storing: asyncio.Task[Appended] = field(init=False)


class GroupCommit:
    """Appends events to the log as `Log` does, those of the plain course in groups."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._open: dict[str, _Group] = {}

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        """Stores the event, durably. Raises as `Log.append` does.

        One that is stored together with others has no message id of its own: appended again, it is in the log twice.
        The first event of a message says for how long the broker is asked to store it.
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
            group.storing = asyncio.create_task(self._store(subject, group, LINGER_SECONDS[type(event)]))
            group.storing.add_done_callback(_heard)
        group.events[event.correlation_id] = event
        if len(group.events) == EVENTS_MAX:
            self._close(subject)
        # One that is cancelled leaves the others to it.
        return await asyncio.shield(group.storing)

    def _close(self, subject: str) -> None:
        self._open.pop(subject).is_closed.set()

    async def _store(self, subject: str, group: _Group, linger_seconds: float) -> Appended:
        await _until(group.is_closed, linger_seconds)
        if not group.is_closed.is_set():
            self._close(subject)
        events = list(group.events.values())
        if len(events) == 1:
            return await self._log.append(events[0], timeout_seconds=group.timeout_seconds)
        return Appended(await self._log.append_together(events, timeout_seconds=group.timeout_seconds))


async def _until(happened: asyncio.Event, seconds: float) -> None:
    if seconds > 0:
        try:
            async with asyncio.timeout(seconds):
                await happened.wait()
        except TimeoutError:
            return


def _heard(storing: asyncio.Task[Appended]) -> None:
    """Who waits for it hears how it went; it may be that nobody does any more."""
    if not storing.cancelled():
        storing.exception()
