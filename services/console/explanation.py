"""The router's recorded reasons in words. Pure.

A reason that is none of these forms, such as one of an older version, has no explanation: it is shown as it is.
"""

import re
from collections.abc import Callable

from tollgate.contract.money import format_cents

_Explain = Callable[[re.Match[str]], str]

_RULES: tuple[tuple[re.Pattern[str], _Explain], ...] = (
    (
        re.compile(r"cheapest: (\w+) (\d+), (\w+) (\d+)"),
        lambda found: (
            f"Both providers could take it. Fee and expected time came to {_percent(found[2])} of the amount at"
            f" {found[1]}, and to {_percent(found[4])} at {found[3]}."
        ),
    ),
    (
        re.compile(r"only choice: (\w+); (\w+) is ([^;]+)"),
        lambda found: f"Only {found[1]} could take it: {found[2]} was {found[3]}.",
    ),
    (
        re.compile(r"overflow: (\w+) has all (\d+) places taken, (\d+) wait"),
        lambda found: (
            f"{found[1].capitalize()} worked, and could not clear the queue in time: all its {found[2]} places were"
            f" taken, and {found[3]} payments waited."
        ),
    ),
    (
        re.compile(r"patience is over: (\w+) is down, waited ([\d.]+) of ([\d.]+) s"),
        lambda found: (
            f"{found[1].capitalize()} was down. The payment had waited {found[2]} s, and no payment may wait longer"
            f" than {found[3]} s for it, the queue before it included."
        ),
    ),
    (
        re.compile(r"probe: (\w+) has been down for ([\d.]+) s"),
        lambda found: f"{found[1].capitalize()} had been down for {found[2]} s; this payment tested whether it works.",
    ),
)
_GAIN = re.compile(r"; (?:saves (\d+) cents|costs (\d+) cents more)$")


def explain(why: str) -> str:
    """Sentences for the reason of a choice; empty if it is not known."""
    for pattern, text in _RULES:
        if found := pattern.match(why):
            return text(found) + _gain(why)
    return ""


def _gain(why: str) -> str:
    found = _GAIN.search(why)
    if found is None:
        return ""
    if found[1] is not None:
        return f" The fee is {format_cents(int(found[1]))} lower than at the other provider."
    return f" The fee is {format_cents(int(found[2]))} higher than at the other provider."


def _percent(hundredths: str) -> str:
    return f"{int(hundredths) / 100:.2f} %"
