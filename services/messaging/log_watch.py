"""Checks that the log is still the one that a service has read, and that no message of it is missing."""

import asyncio
import logging
from dataclasses import replace

from tollgate.contract.log_mark import LogMark, LogState, another_message_at
from tollgate.messaging.connection import Broker
from tollgate.messaging.stored_message import get_message
from tollgate.runtime.errors import LogChangedError
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""The log is checked after so long, and after each new connection."""
ANSWER_SECONDS_MAX = 5.0
CONFIRMATIONS = 3
CONFIRMATION_PAUSE_SECONDS = 0.2


class LogWatch:
    """Holds the mark of the last message read, and compares it with the log.

    Whenever the broker was away, its log may have been restored from an older copy: after a new connection the message
    at the mark and the last message that this program has stored are compared as well, otherwise only the log's ends.
    `missing_accepted` is how many missing messages are no fault (LOG_MISSING_ACCEPTED).
    """

    def __init__(self, broker: Broker, mark: LogMark | None = None, *, missing_accepted: int = 0) -> None:
        self._broker = broker
        self._missing_accepted = missing_accepted
        self._generation = 0
        self._looked_at = float("-inf")
        self._looked = asyncio.Event()
        self._stored: tuple[int, bytes] = (0, b"")
        self.mark = mark
        """None until the first look."""
        self.log: LogState | None = None
        """The log's state as of the last look."""
        self.fault: str | None = None
        """What is missing from the log, as of the last check; None if nothing."""

    @property
    def is_due(self) -> bool:
        """Whether the log was not checked since the present connection was made, or not for LOOK_SECONDS."""
        return self._generation != self._broker.generation or self._now() - self._looked_at > LOOK_SECONDS

    @property
    def is_sure(self) -> bool:
        """Whether the log was found to be the same since the present connection was made."""
        return self._broker.is_connected and self._generation == self._broker.generation

    async def sure(self) -> None:
        """Waits until `is_sure`."""
        while not self.is_sure:
            self._looked.clear()
            await self._looked.wait()

    def note(self, sequence: int, stored_at_us: int) -> None:
        """Moves the mark to a message that was read, unless it is an earlier one."""
        if self.mark is not None:
            self.mark = self.mark.moved(sequence, stored_at_us)

    def note_stored(self, sequence: int, payload: bytes | None) -> None:
        """Records that the broker acknowledged this message at this sequence; None if it may be another message."""
        if self.mark is not None and sequence > self.mark.end:
            self.mark = replace(self.mark, end=sequence)
        if payload is not None and sequence > self._stored[0]:
            self._stored = sequence, payload

    async def look(self, *, timeout_seconds: float = ANSWER_SECONDS_MAX) -> LogState:
        """Checks the log and returns its state. Raises LogChangedError when it is another, BrokerUnavailableError."""
        while True:
            generation, mark, stored = await self._broker.connected(), self.mark, self._stored
            log = await self.ends(timeout_seconds=timeout_seconds)
            # An answer over another connection may be of another log, and the mark must not move to its end.
            if self._broker.is_connected and self._broker.generation == generation:
                break
        if mark is None:
            mark = LogMark(log.identity)
            self.mark = self.mark or mark
        fault = log.damage(self._missing_accepted)
        if generation != self._generation:
            await self._compare_stored(*stored, timeout_seconds)
            if mark.is_held_by(log) and mark.sequence < log.last_sequence:
                fault = await self._compare_message(mark, log, timeout_seconds) or fault
        self._report(fault)
        self._generation, self._looked_at = generation, self._now()
        self._looked.set()
        self.note(log.last_sequence, log.last_stored_at_us)
        self.log = log
        return log

    async def ends(self, *, timeout_seconds: float = ANSWER_SECONDS_MAX) -> LogState:
        """The log's state, after comparing only its ends with the mark. Raises as `look` does.

        A server that has just become the leader of a replicated log may not show its newest messages yet, so a log that
        seems to have gone back is asked for its state again.
        """
        confirmations = 0
        while True:
            # Taken first: messages that are read before the answer arrives may be newer than the answer.
            mark = self.mark
            log = await self._broker.log_state(timeout_seconds=timeout_seconds)
            if mark is None or (contradiction := mark.contradiction(log)) is None:
                return log
            confirmations += 1
            if confirmations == CONFIRMATIONS:
                raise LogChangedError(contradiction)
            await asyncio.sleep(CONFIRMATION_PAUSE_SECONDS)

    async def _compare_message(self, mark: LogMark, log: LogState, timeout_seconds: float) -> str | None:
        """What is wrong with the message at the mark; None if nothing. Raises LogChangedError if it is another."""
        message = await get_message(self._broker, {"seq": mark.sequence}, timeout_seconds=timeout_seconds)
        if message is not None:
            if (contradiction := mark.contradiction(log, message.stored_at_us)) is not None:
                raise LogChangedError(contradiction)
            return None
        # It may have been purged meanwhile.
        is_damaged = mark.is_held_by(await self._broker.log_state(timeout_seconds=timeout_seconds))
        return f"the log is damaged: message {mark.sequence} cannot be read" if is_damaged else None

    async def _compare_stored(self, sequence: int, payload: bytes, timeout_seconds: float) -> None:
        """Raises LogChangedError if another message is stored where this program's last one was."""
        if not sequence:
            return
        message = await get_message(self._broker, {"seq": sequence}, timeout_seconds=timeout_seconds)
        # One that is missing may have been purged; if it was not, the broker's count of messages shows the damage.
        if message is not None and message.payload != payload:
            raise LogChangedError(another_message_at(sequence))

    def _report(self, fault: str | None) -> None:
        if fault is not None and fault != self.fault:
            logger.error("%s (docs/how-to/damaged-log.md)", fault, extra=about(event="log_fault", reason=fault))
        elif fault is None and self.fault is not None:
            logger.warning("no message of the log is missing any more", extra=about(event="log_whole"))
        self.fault = fault

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
