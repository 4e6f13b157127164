"""What a reader knows of the log that it has read, and whether the log at hand is still that one. Pure.

A sequence alone proves nothing: a log that was put back to an older copy and has grown since has the same sequences.
So a mark holds what the broker stored at the sequence, too: the microsecond, which it gives to each message itself.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogState:
    """The log's ends at one moment; `identity` differs after the stream was deleted and made anew.

    Nothing is ever deleted but from the front, so that between its ends no message is missing unless it was damaged.
    """

    first_sequence: int
    last_sequence: int
    identity: str
    last_stored_at_us: int = 0
    """When the last message was stored."""
    messages: int | None = None
    """How many the broker says that it holds; None where it was not asked."""

    @property
    def missing(self) -> int:
        """How many messages between the ends the broker does not have."""
        if self.messages is None or not self.last_sequence:
            return 0
        return max(self.last_sequence - self.first_sequence + 1 - self.messages, 0)

    def damage(self, missing_accepted: int = 0) -> str | None:
        """What is wrong with the log by the broker's own account; None if nothing.

        `missing_accepted` is how many missing messages an operator knows of, and goes on without.
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
        """The mark behind that message, if it is a later one."""
        return LogMark(self.identity, sequence, stored_at_us, self.end) if sequence > self.sequence else self

    def contradiction(self, log: LogState, stored_at_us: int | None = None) -> str | None:
        """How the log shows that it is not the one that was read, or no longer all of it; None when it does not.

        `stored_at_us` is when the message at the mark's sequence was stored, where the log was asked for it. A message
        that was purged since shows nothing.
        """
        if log.identity != self.identity:
            return "the log was replaced by another"
        if log.last_sequence < (end := max(self.sequence, self.end)):
            return f"the log went back from {end} to {log.last_sequence}"
        if stored_at_us is None and log.first_sequence <= log.last_sequence == self.sequence:
            stored_at_us = log.last_stored_at_us
        if self.sequence and stored_at_us not in (None, self.stored_at_us):
            return f"the log went back before {self.sequence}, and has grown since: another message is stored there"
        return None

    def is_held_by(self, log: LogState) -> bool:
        """Whether the mark's message should be in the log still."""
        return self.sequence > 0 and log.first_sequence <= self.sequence <= log.last_sequence
