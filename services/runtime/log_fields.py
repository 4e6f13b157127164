"""The fields of a line of the program log, besides its text. The list is closed: no other field is written.

`about` gives them to a call of a logger:

    logger.warning("health check of %s failed: %s", provider, why, extra=about(provider=provider, reason=why))
"""

from typing import Annotated, Literal, TypedDict, Unpack, get_args, get_type_hints

LogEvent = Literal[
    "answer_outside_contract",
    "attempt_not_sent",
    "breaker_closed",
    "breaker_opened",
    "broker_connected",
    "broker_lost",
    "call_ended",
    "clock_off",
    "clock_right",
    "doubt_ended",
    "event_returned",
    "exited",
    "health_check_failed",
    "health_check_succeeded",
    "health_not_polled",
    "health_polled",
    "intent_void",
    "lease_lost",
    "lease_taken",
    "level_changed",
    "log_changed",
    "log_fault",
    "log_purged",
    "log_refuses",
    "log_whole",
    "lookup_outside_contract",
    "manual_resolution",
    "message_set_aside",
    "messages_unreadable",
    "payment_accepted",
    "payment_in_doubt",
    "payment_refused",
    "payment_rejected",
    "payments_wait",
    "provider_failing",
    "provider_healthy",
    "query_refused",
    "turn_lost",
    "turn_taken",
    "uncaught_exception",
]

EVENTS: dict[LogEvent, str] = {
    "answer_outside_contract": "A provider answered a charge outside of its contract; the attempt is in doubt.",
    "attempt_not_sent": "An attempt was released without being sent: it was stored too late, or its stamp is too old.",
    "breaker_closed": "A circuit breaker has closed.",
    "breaker_opened": "A circuit breaker has opened.",
    "broker_connected": "The connection to the broker was made.",
    "broker_lost": "The connection to the broker is lost.",
    "call_ended": "At DEBUG: a charge was sent, and this came of it.",
    "clock_off": "This program's clock is off; repeated once a minute.",
    "clock_right": "This program's clock is right again.",
    "doubt_ended": "A doubt has ended: the provider has the charge.",
    "event_returned": "The handling of a request, doubt or release failed; the broker delivers it again.",
    "exited": "The program ends with an error.",
    "health_check_failed": "A health check had no usable answer.",
    "health_check_succeeded": "Health checks succeed again.",
    "health_not_polled": "No replica polls health, because broker or bucket are away.",
    "health_polled": "Health is polled again.",
    "intent_void": "An intent is in the log and is not sent: another event has decided about the payment.",
    "lease_lost": "This replica no longer holds the lease for health polling.",
    "lease_taken": "This replica now holds the lease for health polling.",
    "level_changed": "A signal has changed the level of this program log.",
    "log_changed": "The log went back, or is another one; the program starts again.",
    "log_fault": "Messages of the log are missing.",
    "log_purged": "The log was purged.",
    "log_refuses": "The broker stores no event.",
    "log_whole": "No message of the log is missing any more.",
    "lookup_outside_contract": "A provider answered a lookup outside of its contract.",
    "manual_resolution": "An operator holds or has released an attempt.",
    "message_set_aside": "A message of the log is not valid.",
    "messages_unreadable": "The broker cannot deliver messages of the log.",
    "payment_accepted": "At DEBUG: a payment was answered 202.",
    "payment_in_doubt": "An attempt was put in doubt.",
    "payment_refused": "A payment was answered 503. Answers 4xx leave no line.",
    "payment_rejected": "A rejection was recorded.",
    "payments_wait": "No payment has ended for a while, and some wait.",
    "provider_failing": "A provider reports that it fails.",
    "provider_healthy": "A provider reports that it works.",
    "query_refused": "A query was refused, because too many are being served.",
    "turn_lost": "Another projector answers questions from now on.",
    "turn_taken": "This projector answers questions from now on.",
    "uncaught_exception": "An exception that nobody foresaw; `exception` has its traceback.",
}
"""What each event means."""


class LogFields(TypedDict, total=False):
    """What a call may add. Each is left out where it does not apply."""

    event: Annotated[LogEvent, "What happened, by one of the names below."]
    correlation_id: Annotated[str, "The payment."]
    provider: Annotated[str, "`default` or `fallback`."]
    attempt: Annotated[int, "The number of the payment's attempt, from 1 on."]
    sequence: Annotated[int, "The sequence of the message of the log."]
    duration_seconds: Annotated[float, "How long it took."]
    outcome: Annotated[str, "What a call came to: `Charged`, `Duplicate`, `Refused`, `Failed`, `NotReached`, …"]
    reason: Annotated[str, "Why."]
    holder: Annotated[str, "The replica that holds the lease for health polling."]
    offset_seconds: Annotated[float, "This program's clock minus the broker's."]
    waiting: Annotated[int, "How many payments wait."]


WRITTEN_ALWAYS = {
    "time": "When, in UTC, with microseconds: `2026-11-27T23:14:27.031415Z`.",
    "level": "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.",
    "program": "`gateway`, `processor`, `projector` or `console`.",
    "instance": "The name of the replica: GATEWAY_NAME; of processor and projector one made of host and process id.",
    "logger": "The module: `tollgate.…`, or that of a library.",
    "message": "The text for people. It may change with any version.",
}
WRITTEN_LAST = {
    "repeated": "How many lines of this kind this one stands for, if more than one.",
    "exception": "The traceback, if there is one.",
}
FIELDS = tuple(LogFields.__annotations__)
"""The names of the fields that a call may add, in the order in which they are written."""


def about(**fields: Unpack[LogFields]) -> LogFields:
    """The fields, as `extra` of a call of a logger."""
    return fields


def documented() -> dict[str, str]:
    """What each field is, in the order of a line."""
    hints = get_type_hints(LogFields, include_extras=True)
    return WRITTEN_ALWAYS | {name: get_args(hints[name])[1] for name in FIELDS} | WRITTEN_LAST
