"""The object of `tollgate status --json` as lines for a terminal, faults first. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from tollgate.contract.money import format_cents

DOUBTS_SHOWN_MAX = 8
"""So many doubts fit beside the rest on one screen; `processor status` lists more."""
UNKNOWN = "?"


def screen(view: Mapping[str, Any]) -> str:
    """One line for each thing, with the name of its kind first."""
    return "\n".join(f"{name:<10} {text}" for name, text in _lines(view))


def _lines(view: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from [("FAULT", one) for one in view["faults"]] or [("health", "fine")]
    yield "money", _money(view)
    yield "queue", _queue(view["queue"])
    yield from _doubts(view["doubts"])
    yield from ((one["name"], _provider(one)) for one in view["providers"])
    yield "log", _log(view["log"])
    if view["archive"] is not None:
        yield "archive", _archive(view["archive"])
    yield "read model", _read_model(view)
    if view["rebuild"] is not None:
        yield "rebuild", _rebuild(view["rebuild"])
    yield from ((one["name"], f"{one['state']:<8} {one['description']}") for one in view["processes"])
    yield from ((_kind(one["name"]), _program(one)) for one in view["programs"] if _is_listed(one, view))


def _money(view: Mapping[str, Any]) -> str:
    rates, fees, latency = view["rates"], view["fees"], view["latency"]
    parts = [f"{_rate(rates['accepted'])} accepted, {_rate(rates['settled'])} settled"]
    if (payments := view["payments"]) is not None:
        parts.append(f"{payments['settled']} settled and {payments['rejected']} rejected in all")
    if latency is not None and latency["p99Ms"] is not None:
        parts.append(f"accepted in {_milliseconds(latency['p50Ms'])}, p99 {_milliseconds(latency['p99Ms'])}")
    if fees is not None:
        parts.append(f"fees {format_cents(fees['paidCents'])} paid, {format_cents(fees['savedCents'])} saved")
    return "; ".join(parts)


def _queue(queue: Mapping[str, Any] | None) -> str:
    if queue is None or queue["waiting"] is None:
        return UNKNOWN
    oldest = "none is open" if queue["oldestSeconds"] is None else f"the oldest for {queue['oldestSeconds']:.1f} s"
    text = f"{queue['waiting']} waiting, {queue['underWay']} under way; {oldest}"
    return "; ".join([text, *queue["causes"]])


def _doubts(doubts: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if doubts is None:
        yield "in doubt", UNKNOWN
        return
    yield "in doubt", str(doubts["count"])
    shown = doubts["listed"][:DOUBTS_SHOWN_MAX]
    for one in shown:
        held = "held by an operator; " if one["isHeld"] else ""
        amount = format_cents(one["amountCents"])
        yield "", f"{one['correlationId']}  {amount}  {one['provider']}  {one['ageSeconds']:.0f} s  {held}{one['why']}"
    if (rest := doubts["count"] - len(shown)) > 0:
        yield "", f"… and {rest} more: `processor status`"


def _provider(provider: Mapping[str, Any]) -> str:
    if provider["count"] is None:
        return UNKNOWN
    parts = [f"{_rate(provider['rate'])}", f"{provider['count']} charged, {format_cents(provider['amountCents'])}"]
    if provider["share"] is not None:
        parts.append(f"{provider['share']:.0%} of all")
    parts.append(f"breaker {provider['breaker'] or UNKNOWN}")
    if provider["p99Ms"] is not None:
        parts.append(f"p50 {_milliseconds(provider['p50Ms'])}, p99 {_milliseconds(provider['p99Ms'])}")
    if provider["isFailing"]:
        parts.append("reports that it fails")
    return "; ".join(parts)


def _log(log: Mapping[str, Any]) -> str:
    if log["end"] is None:
        return UNKNOWN
    if log["bytes"] is None:
        return f"position {log['end']}"
    limit = "" if log["bytesMax"] is None else f" of {log['bytesMax']}"
    return f"position {log['end']}; {log['bytes']}{limit} bytes"


def _archive(archive: Mapping[str, Any]) -> str:
    ends = f"{archive['firstSequence']} to {archive['lastSequence']}"
    return f"{ends} in {archive['stretches']} stretches; head {archive['head']}"


def _read_model(view: Mapping[str, Any]) -> str:
    lag = view["readModel"]
    if lag is None:
        return UNKNOWN
    return f"position {view['log']['position']}; {lag['messages']} messages behind, {lag['seconds']:.1f} s"


def _rebuild(rebuild: Mapping[str, Any]) -> str:
    if rebuild["isComparing"]:
        return f"{rebuild['read']} messages read; the new read model is compared with the live one"
    left = "" if rebuild["secondsLeft"] is None else f"; {rebuild['secondsLeft']:.0f} s left"
    return f"{rebuild['read']} of {rebuild['read'] + rebuild['left']} messages, {rebuild['share']:.0%}{left}"


def _is_listed(program: Mapping[str, Any], view: Mapping[str, Any]) -> bool:
    """Not a program that the supervisor lists already, unless it has something to report."""
    return bool(program["detail"]) or not view["processes"]


def _kind(name: str) -> str:
    return name.partition(" ")[0]


def _program(program: Mapping[str, Any]) -> str:
    name, state = program["name"].partition(" ")[2], "answers" if program["is_up"] else "is silent"
    return "; ".join(part for part in (f"{name} {state}".strip(), program["detail"]) if part)


def _rate(payments_a_second: float | None) -> str:
    return f"{UNKNOWN}/s" if payments_a_second is None else f"{payments_a_second:.1f}/s"


def _milliseconds(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms"
