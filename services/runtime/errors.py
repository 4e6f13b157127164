"""Tollgate's exceptions. Every class derives from TollgateError, except the simulator's, which is independent.

TollgateError (contract/errors.py)
  ├─ FatalError                         the service cannot go on; it exits, and the supervisor restarts it
  │    ├─ SettingError                  a setting has a value that cannot be used
  │    ├─ ArchiveError                  the archive cannot be read, written or used
  │    ├─ DamagedModelError             a block of the open read model does not match its checksum
  │    └─ LogChangedError               the log went back or was replaced; what was read of it is void
  ├─ BrokerError                        the broker did not do what was asked
  │    ├─ BrokerUnavailableError        no answer inside the bound; whether an event was stored is unknown
  │    ├─ UnreadableMessageError        the broker has lost a message of the log
  │    ├─ LogFullError                  the broker refuses to store the event
  │    └─ LogMovedOnError               another message was stored under the subject first
  │
  ├─ contract
  │    ├─ MalformedEventError           a message is not an event (ValueError)
  │    ├─ UnreadableVersionError        an event's fields do not match its version (ValueError)
  │    ├─ InvalidAmountError            an amount is not a positive number of whole cents (ValueError)
  │    └─ InvalidTimestampError         a text is not an RFC 3339 timestamp (ValueError)
  ├─ runtime
  │    └─ _RefusedError                 a bad option on the command line, in one line (click.ClickException)
  ├─ messaging
  │    ├─ ReadModelUnavailableError     the projector did not answer inside the bound
  │    ├─ QuestionRefusedError          the read model cannot answer this query, now or later
  │    └─ CommandError                  an operator's command failed; the text is its one line of output
  ├─ gateway
  │    ├─ Problem                       an HTTP answer of application/problem+json
  │    ├─ UpgradeRefusedError           a request offers to change the protocol
  │    └─ FilterUnusableError           the projector's filter of ids cannot be used, so the log is read
  ├─ console
  │    ├─ UnanswerableError             a question of the page gets no answer; the HTTP status and the reason
  │    └─ TooManyPagesError             as many pages as allowed are open
  ├─ processor
  │    ├─ UnknownPaymentError           the log has no request for the payment
  │    ├─ CannotResolveError            a manual resolution was not recorded
  │    ├─ UnreadableHealthError         an answer is not a health report (ValueError)
  │    ├─ NotSentError                  no byte of a request to a provider was sent
  │    └─ CutOffError                   a request to a provider was sent, and has no whole answer
  ├─ projector
  │    ├─ UnusableFileError             a read-model file has to be rebuilt
  │    │    └─ OtherLogError            the file was made from another log
  │    ├─ IndexDamagedError             the index of ids cannot be read any more
  │    ├─ IndexUnusableError            the index of ids has to be written anew
  │    ├─ LockedError                   another process holds a file's lock
  │    ├─ TooManySnapshotsError         as many copies of the read model as allowed are in use
  │    ├─ CannotAnswerError             an inspection query cannot be answered now
  │    ├─ NotComparableError            a rebuilt file is missing, or was made from another log
  │    └─ ProviderRecordsUnreadableError  a provider's records cannot be read
  ├─ stack
  │    └─ StackError                    the stack cannot do what was asked; the text is the one line that is printed
  │         ├─ PortTakenError           a port that the stack needs is in use
  │         ├─ AlreadyRunningError      another stack has this DATA_DIR
  │         ├─ NotRunningError          no stack runs on this DATA_DIR
  │         ├─ BackupError              (ops) a backup cannot be made, read or restored
  │         └─ ReplayError              (ops) a stack made from a backup does not match the backup
  └─ launcher
       └─ _StopRequestedError           a signal stops the launcher

`tests/unit/test_errors.py` compares this picture with the classes.
"""

from tollgate.contract.errors import TollgateError

__all__ = [
    "BrokerError",
    "BrokerUnavailableError",
    "FatalError",
    "LogChangedError",
    "LogFullError",
    "LogMovedOnError",
    "SettingError",
    "TollgateError",
    "UnreadableMessageError",
]


class BrokerError(TollgateError):
    """The broker did not do what was asked."""


class BrokerUnavailableError(BrokerError):
    """The broker gave no answer inside the bound. What was sent may have been stored."""


class UnreadableMessageError(BrokerError):
    """The broker cannot deliver a message that the log should hold."""

    def __init__(self, sequence: int, log_end: int, why: str) -> None:
        super().__init__(f"message {sequence} of the log cannot be read, which goes up to {log_end}: {why}")


class LogFullError(BrokerError):
    """The broker answered, and refused to store: its store is full, or the event breaks a limit of the stream."""


class LogMovedOnError(BrokerError):
    """Nothing was stored, because the message named as the last of its subject is not the last.

    `last_sequence` is the sequence of the last one; None where the broker does not name it.
    """

    def __init__(self, last_sequence: int | None) -> None:
        super().__init__(f"the last message of the subject is {last_sequence or 'another'}")
        self.last_sequence = last_sequence


class FatalError(TollgateError):
    """The service cannot go on; the message is the reason."""


class SettingError(FatalError):
    """A setting has a value that cannot be used; the message names the variable, the value and what is allowed."""


class LogChangedError(FatalError):
    """The log went back, or another one has taken its place; what was read of it is void."""

    def __init__(self, contradiction: str) -> None:
        super().__init__(f"{contradiction}; starting again to read it anew")
        self.contradiction = contradiction
