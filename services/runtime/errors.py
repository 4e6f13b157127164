"""What can go wrong between a service and the broker.

FatalError                       the service cannot go on; it exits, and the supervisor starts it anew
  ├─ SettingError             a setting has a value that cannot be used
  └─ LogChangedError          the log is not the one that was read; what was read of that is void
BrokerError
  ├─ UnreadableMessageError   the broker has lost a message of the log
  ├─ BrokerUnavailableError   no answer inside the bound; whether the event was stored is unknown
  └─ LogFullError             the broker answered that it stores nothing more
"""


class BrokerError(Exception):
    """The broker did not do what was asked."""


class BrokerUnavailableError(BrokerError):
    """The broker gave no answer inside the bound. What was sent may have been stored."""


class UnreadableMessageError(BrokerError):
    """The broker cannot deliver a message that the log should hold."""

    def __init__(self, sequence: int, log_end: int, why: str) -> None:
        super().__init__(f"message {sequence} of the log cannot be read, which goes up to {log_end}: {why}")


class LogFullError(BrokerError):
    """The broker answered, and refused to store: its store is full, or the event breaks a limit of the stream."""


class FatalError(Exception):
    """The service cannot go on; the message tells the operator why."""


class SettingError(FatalError):
    """A setting has a value that cannot be used; the message names the variable, the value and what is allowed."""


class LogChangedError(FatalError):
    """The log went back, or another one has taken its place; what was read of it is void."""

    def __init__(self, contradiction: str) -> None:
        super().__init__(f"{contradiction}; starting again to read it anew")
        self.contradiction = contradiction
