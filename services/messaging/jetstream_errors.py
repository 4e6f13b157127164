"""JetStream's error codes (`err_code`; nats-server, server/errors.json). Pure."""

from collections.abc import Mapping
from typing import Any

CONSUMER_NOT_FOUND = 10014
MESSAGE_NOT_FOUND = 10037
STREAM_NAME_IN_USE = 10058
STREAM_EXISTS = 10130
WRONG_LAST_SEQUENCE = frozenset((10071, 10164))
"""The second is for a replicated stream with another write under way."""

TRANSIENT = frozenset(
    (
        10008,  # the cluster has no leader now
        10009,  # this server does not lead, and the one that does has not answered
        10118,  # the stream is offline: too few of its servers run
        10119,  # the consumer is
        10158,  # a message with this id is being stored: known as a repeat as soon as that is done (replicated streams)
        10167,  # the stream has too many messages waiting to be stored
    )
)
"""Errors that pass by themselves: the request was not carried out, and a later try can succeed."""
_UNAVAILABLE = 503
"""The status of all errors of a JetStream that is still starting."""


def error_code(answer: Mapping[str, Any]) -> int | None:
    """The error code of the answer; None if it is no error."""
    error = answer.get("error")
    return None if error is None else int(error.get("err_code", 0))


def is_transient(answer: Mapping[str, Any]) -> bool:
    """Whether the answer is an error that passes by itself."""
    return error_code(answer) in TRANSIENT


def is_not_ready(answer: Mapping[str, Any]) -> bool:
    """The same for an answer of the API, which may also be starting."""
    return is_transient(answer) or answer.get("error", {}).get("code") == _UNAVAILABLE
