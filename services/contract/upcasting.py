"""Converts the fields of earlier event versions to those of the present version. Stored events are never rewritten.

Each step is a pure function from the fields of one version to those of the next; a reader applies all that are needed.

Version 0 has the amount as a decimal text in `amount`, such as "19.90"; version 1 has it in cents in `amountCents`.
Nothing else differs. The schemas of version 0 are in `schemas/v0/`.
"""

import re
from collections.abc import Callable
from typing import Any

from tollgate.contract.errors import TollgateError

Fields = dict[str, Any]

_DECIMAL = re.compile(r"(0|[1-9]\d{0,15})\.(\d\d)", re.ASCII)


class UnreadableVersionError(TollgateError, ValueError):
    """The fields do not match their version; the text is the reason."""


def upcast(fields: Fields, version: int) -> Fields:
    """The fields of that version, converted to the present one; `fields` is not changed.

    Raises UnreadableVersionError.
    """
    for step in _STEPS[version:]:
        fields = step(fields)
    return fields


def _amount_to_cents(fields: Fields) -> Fields:
    """0 -> 1."""
    # In version 0 `amountCents` was an unknown field, which readers ignored.
    upcasted = {
        **{name: value for name, value in fields.items() if name not in ("amount", "amountCents")},
        "version": 1,
    }
    if "amount" not in fields:
        return upcasted
    amount = fields["amount"]
    match = _DECIMAL.fullmatch(amount) if isinstance(amount, str) else None
    if match is None:
        raise UnreadableVersionError(f"field 'amount' is not a decimal with two places: {str(amount)[:64]!r}")
    return {**upcasted, "amountCents": int(match[1]) * 100 + int(match[2])}


_STEPS: tuple[Callable[[Fields], Fields], ...] = (_amount_to_cents,)

PRESENT_VERSION = len(_STEPS)
