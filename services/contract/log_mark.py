"""Detects that the log is not the one that a reader has read: replaced, restored from an older copy, or damaged. Pure.

A sequence alone proves nothing: a log that was restored from an older copy and has grown since has the same sequences.
So a mark also holds the time of storing, in microseconds, that the broker assigned to the message at that sequence.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogState:
    """The log's ends at one moment; `identity` differs after the stream was deleted and made anew.

    Messages are deleted from the front only, so a message missing between the ends means that the log is damaged.
    """

    first_sequence: int
    last_sequence: int
    identity: str
    last_stored_at_us: int = 0
    """When the last message was stored."""
    messages: int | None = None
    """How many messages the broker reports; None where it was not asked."""
    stored_bytes: int = 0
    bytes_max: int = -1
    """The log's own limit; -1 for none."""
    replicas: int = 1
    """How many brokers keep the log."""

    @property
    def missing(self) -> int:
        """How many messages between the ends are missing."""
        if self.messages is None or not self.last_sequence:
            return 0
        return max(self.last_sequence - self.first_sequence + 1 - self.messages, 0)

    def damage(self, missing_accepted: int = 0) -> str | None:
        """What is missing according to the broker's own count; None if nothing.

        `missing_accepted` is how many missing messages an operator has accepted.
        """
        if self.missing <= missing_accepted:
            return None
        return (
            f"the log is damaged: {self.missing} messages between {self.first_sequence} and {self.last_sequence}"
            " are missing"
        )


@dataclass(frozen=True, slots=True)
class LogMark:
    """The last message that was read of a log; `sequence` is 0 when none was.

    `end` is the last sequence that the broker acknowledged; it may be ahead of what was read.
    """

    identity: str
    sequence: int = 0
    stored_at_us: int = 0
    end: int = 0

    def moved(self, sequence: int, stored_at_us: int) -> "LogMark":
        """The mark at that message, if its sequence is greater."""
        return LogMark(self.identity, sequence, stored_at_us, self.end) if sequence > self.sequence else self

    def contradiction(self, log: LogState, stored_at_us: int | None = None) -> str | None:
        """Why the log cannot be the one that was read, or is no longer all of it; None if nothing contradicts it.

        `stored_at_us` is when the message at the mark's sequence was stored, if it was read. A message that was purged
        since proves nothing.
        """
        if log.identity != self.identity:
            return "the log was replaced by another"
        if log.last_sequence < (end := max(self.sequence, self.end)):
            return f"the log went back from {end} to {log.last_sequence}"
        if stored_at_us is None and log.first_sequence <= log.last_sequence == self.sequence:
            stored_at_us = log.last_stored_at_us
        if self.sequence and stored_at_us not in (None, self.stored_at_us):
            return another_message_at(self.sequence)
        return None

    def is_held_by(self, log: LogState) -> bool:
        """Whether the mark's message should still be in the log."""
        return self.sequence > 0 and log.first_sequence <= self.sequence <= log.last_sequence


def another_message_at(sequence: int) -> str:
    """The reason when the message at this sequence is not the one that was read or stored there."""
    return f"the log went back before {sequence}, and has grown since: another message is stored there"
