"""Renders answers as JSON: money as exact decimals with two places. Pure."""

from collections.abc import Sequence

import orjson

from tollgate.contract.money import format_cents
from tollgate.contract.read_model_api import DoubtView, PaymentView, Summary, Total
from tollgate.contract.timestamps import MICROSECONDS, format_us


def render_summary(summary: Summary) -> bytes:
    """{"default": {"totalRequests": 1, "totalAmount": 19.90}, "fallback": …}"""
    # Not orjson: it would write the amounts from floats.
    parts = (f'"{name}":{_render_total(total)}' for name, total in summary.totals.items())
    return ("{" + ",".join(parts) + "}").encode()


def render_payment(view: PaymentView, history: Sequence[tuple[int, bytes]], *, now_us: int) -> bytes:
    """The payment's state and its events, each (sequence, event's JSON), as stored in the log.

    While the payment is in doubt, also the attempt in doubt and its age.
    """
    events = ",".join(f'{{"sequence":{sequence},"event":{_for_clients(event)}}}' for sequence, event in history)
    head = orjson.dumps({"correlationId": view.correlation_id, "state": view.state}).decode()
    doubt = "" if view.doubt is None else f',"doubt":{_render_doubt(view.doubt, now_us)}'
    return f'{head[:-1]},"amount":{format_cents(view.amount_cents)}{doubt},"history":[{events}]}}'.encode()


def _for_clients(event: bytes) -> str:
    """The event without the operator's name and note, which are not for clients."""
    if b'"operatorWord"' not in event:
        return event.decode()
    fields = orjson.loads(event)
    if isinstance(resolution := fields.get("operatorWord"), dict):
        fields["operatorWord"] = {name: resolution[name] for name in resolution if name not in ("by", "note")}
    return orjson.dumps(fields).decode()


def _render_doubt(doubt: DoubtView, now_us: int) -> str:
    return orjson.dumps(
        {
            "processor": doubt.provider,
            "attempt": doubt.attempt,
            "since": format_us(doubt.since_us),
            # Not below zero: the broker's clock and ours may differ.
            "ageSeconds": max(now_us - doubt.since_us, 0) / MICROSECONDS,
            "why": doubt.why,
            "heldByOperator": doubt.is_held,
        }
    ).decode()


def _render_total(total: Total) -> str:
    return f'{{"totalRequests":{total.count},"totalAmount":{format_cents(total.amount_cents)}}}'
