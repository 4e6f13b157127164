"""The status of charging, for an operator: what waits, what is in doubt, what it cost; as a table or as JSON. Pure."""

from collections.abc import Mapping
from dataclasses import asdict

import orjson

from tollgate.contract.fees import paid_and_saved_cents
from tollgate.contract.money import format_cents
from tollgate.contract.read_model_api import Charging, DoubtView
from tollgate.contract.timestamps import MICROSECONDS, format_us
from tollgate.contract.waiting import Queue
from tollgate.processor.operations.charging_health import ChargingHealth, health_lines, health_object


def render_json(
    charging: Charging | str, queue: Queue | None, side_queues: Mapping[str, Queue], health: ChargingHealth, now_us: int
) -> str:
    """For programs: amounts in cents, ages in seconds. `charging` is the reason if it is unknown."""
    content = health_object(health)
    if queue is not None:
        content["backlog"] = _backlog(queue)
    content["sideQueues"] = {name: _backlog(one) for name, one in side_queues.items()}
    if not isinstance(charging, str):
        content |= _charging(charging, now_us)
    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()


def _backlog(queue: Queue) -> dict[str, int]:
    return {"waiting": queue.waiting, "under_way": queue.under_way, "redelivered": queue.redelivered}


def _charging(charging: Charging, now_us: int) -> dict[str, object]:
    paid_cents, saved_cents = _fees(charging)
    return {
        "payments": {
            "pending": charging.pending,
            "routed": charging.routed,
            "inDoubt": charging.in_doubt,
            "charged": {name: asdict(total) for name, total in charging.totals.items()},
        },
        "fees": {"paidCents": paid_cents, "savedCents": saved_cents},
        "doubts": [_doubt(doubt, now_us) for doubt in charging.doubts],
        "doubtsNotListed": charging.in_doubt - len(charging.doubts),
        "position": charging.position,
    }


def render_table(
    charging: Charging | str, queue: Queue | None, side_queues: Mapping[str, Queue], health: ChargingHealth, now_us: int
) -> str:
    """For a terminal. `charging` is the reason if it is unknown."""
    lines = health_lines(health)
    if queue is not None:
        lines.append(f"queue      {_counted(queue)}")
    lines += [f"queue      {_counted(one)}, in {name}" for name, one in side_queues.items()]
    if not isinstance(charging, str):
        lines += _charging_lines(charging, now_us)
    return "\n".join(lines)


def _charging_lines(charging: Charging, now_us: int) -> list[str]:
    paid_cents, saved_cents = _fees(charging)
    lines = [
        f"payments   {charging.pending} pending, {charging.routed} routed, {charging.in_doubt} in doubt",
        *(
            f"{name:<10} {total.count} charged, {format_cents(total.amount_cents)}"
            for name, total in charging.totals.items()
        ),
        f"fees       {format_cents(paid_cents)} paid, {format_cents(saved_cents)} saved against charging all at the"
        " most expensive provider",
    ]
    if charging.doubts:
        lines += ["", _ROW.format("in doubt", "amount", "provider", "attempt", "for", "why")]
        lines += [_row(doubt, now_us) for doubt in charging.doubts]
    if (rest := charging.in_doubt - len(charging.doubts)) > 0:
        lines.append(f"… and {rest} more that are younger")
    return lines


def _counted(queue: Queue) -> str:
    return f"{queue.waiting} waiting, {queue.under_way} under way, {queue.redelivered} redelivered"


_ROW = "{:<36}  {:>14}  {:<9}  {:>7}  {:>10}  {}"


def _row(doubt: DoubtView, now_us: int) -> str:
    age = _age_text(_age_seconds(doubt, now_us))
    why = f"held by an operator; {doubt.why}" if doubt.is_held else doubt.why
    return _ROW.format(doubt.correlation_id, format_cents(doubt.amount_cents), doubt.provider, doubt.attempt, age, why)


def _doubt(doubt: DoubtView, now_us: int) -> dict[str, object]:
    return {
        "correlationId": doubt.correlation_id,
        "amountCents": doubt.amount_cents,
        "processor": doubt.provider,
        "attempt": doubt.attempt,
        "requestedAt": format_us(doubt.requested_at_us),
        "since": format_us(doubt.since_us),
        "ageSeconds": _age_seconds(doubt, now_us),
        "why": doubt.why,
        "held": doubt.is_held,
    }


def _age_seconds(doubt: DoubtView, now_us: int) -> float:
    # Not below zero: the clocks of the broker and of this machine may differ.
    return round(max(now_us - doubt.since_us, 0) / MICROSECONDS, 1)


def _age_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m{rest:02d}s" if hours else f"{minutes}m{rest:02d}s"


def _fees(charging: Charging) -> tuple[int, int]:
    return paid_and_saved_cents({name: total.amount_cents for name, total in charging.totals.items()})
