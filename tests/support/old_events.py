"""Events as earlier versions wrote them."""

from typing import Any

import orjson

from tollgate.contract.codec import encode
from tollgate.contract.events import Event
from tollgate.contract.money import format_cents


def as_version_0(event: Event) -> dict[str, Any]:
    """The event's fields as version 0 wrote them."""
    fields: dict[str, Any] = orjson.loads(encode(event))
    return {
        **{name: value for name, value in fields.items() if name != "amountCents"},
        **({"amount": format_cents(fields["amountCents"])} if "amountCents" in fields else {}),
        "version": 0,
    }
