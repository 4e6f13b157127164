"""The page reference/asyncapi.json: the log as an AsyncAPI 3.0 document, from its subjects and the events' schemas."""

import json
from importlib.resources import files
from typing import Any

from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.events import PROVIDERS
from tollgate.contract.subjects import MESSAGE_BYTES_MAX, STREAM, SUBJECTS

_SCHEMAS = files("tollgate.contract") / "schemas"
_MESSAGE_ID = "The broker drops a message whose id it has stored within the duplicate window."
WRITERS = {
    "PaymentRequested": "gateway",
    "PaymentRouted": "processor",
    "PaymentInDoubt": "processor",
    "PaymentReleased": "processor",
    "PaymentProcessed": "processor",
    "PaymentRejected": "processor",
    "LedgerPurged": "gateway",
}
"""The broker's user who may store events of a type; a manual resolution is stored by the processors' user, too."""
_READERS = {
    "gateway": ("PaymentRequested", "LedgerPurged"),
    "processor": tuple(WRITERS),
    "projector": tuple(WRITERS),
}
"""Which types of events a service reads."""


def page() -> str:
    """The document as JSON text."""
    return json.dumps(document(), indent=2) + "\n"


def document() -> dict[str, Any]:
    """The document. Its channels are the log's subjects, its messages the types of events."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tollgate's log",
            "version": "1",
            "description": (
                f"The stream {STREAM}: every event of every payment, in order. A message holds 1 to {EVENTS_MAX} events"
                f" of one subject, each on a line of its own, in at most {MESSAGE_BYTES_MAX} bytes. The payload of each"
                " message below is one line."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {_name_of(event): _channel(event) for event in WRITERS},
        "operations": {**_sending(), **_receiving()},
        "components": {"messages": {event: _message(event) for event in WRITERS}},
    }


def subject_of(event: str) -> str:
    """The subject of a type, with `*` for the provider."""
    name = _name_of(event)
    found = [one for one in SUBJECTS if one.split(".")[1] == name]
    if len(found) != 1:
        raise ValueError(f"{event} belongs under one subject, and these are its candidates: {found}")
    return found[0]


def _name_of(event: str) -> str:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in event)
    return words.removeprefix("_").split("_", maxsplit=1)[1]


def _channel(event: str) -> dict[str, Any]:
    subject = subject_of(event)
    channel: dict[str, Any] = {
        "address": subject.replace("*", "{provider}"),
        "messages": {event: {"$ref": f"#/components/messages/{event}"}},
    }
    if "*" in subject:
        channel["parameters"] = {"provider": {"enum": list(PROVIDERS), "description": "The provider."}}
    return channel


def _message(event: str) -> dict[str, Any]:
    schema = json.loads((_SCHEMAS / f"{event}.json").read_text())
    description = schema.pop("description")
    del schema["$schema"]
    return {
        "name": event,
        "title": event,
        "summary": description,
        "contentType": "application/json",
        "headers": {"type": "object", "properties": _headers(event)},
        "payload": schema,
    }


def _headers(event: str) -> dict[str, Any]:
    if event == "PaymentRequested":
        why = "The sequence of the last message of requests: the broker stores this one only directly after that."
        return {"Nats-Expected-Last-Subject-Sequence": {"type": "string", "description": why}}
    if event == "LedgerPurged":
        return {}
    return {"Nats-Msg-Id": {"type": "string", "description": _MESSAGE_ID}}


def _sending() -> dict[str, Any]:
    return {f"{writer}_sends_{_name_of(event)}": _operation("send", writer, event) for event, writer in WRITERS.items()}


def _receiving() -> dict[str, Any]:
    return {
        f"{reader}_receives_{_name_of(event)}": _operation("receive", reader, event)
        for reader, events in _READERS.items()
        for event in events
    }


def _operation(action: str, program: str, event: str) -> dict[str, Any]:
    name = _name_of(event)
    return {
        "action": action,
        "title": f"{program}: {action} {event}",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{event}"}],
        "tags": [{"name": program}],
    }
