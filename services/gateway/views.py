"""Answers as JSON: money as exact decimals with two places. Pure."""

from collections.abc import Sequence

import orjson

from contract.money import format_cents
from contract.queries import PaymentView, Summary, Total


def render_summary(summary: Summary) -> bytes:
    """{"default": {"totalRequests": 1, "totalAmount": 19.90}, "fallback": …}"""
    # Written by hand: a float would be the only other way to a JSON number in orjson.
    parts = (f'"{name}":{_render_total(total)}' for name, total in summary.totals.items())
    return ("{" + ",".join(parts) + "}").encode()


def render_payment(view: PaymentView, history: Sequence[tuple[int, bytes]]) -> bytes:
    """The payment's state and its events, (sequence, event's JSON) each, as the log holds them."""
    events = ",".join(f'{{"sequence":{sequence},"event":{event.decode()}}}' for sequence, event in history)
    head = orjson.dumps({"correlationId": view.correlation_id, "state": view.state}).decode()
    return f'{head[:-1]},"amount":{format_cents(view.amount_cents)},"history":[{events}]}}'.encode()


def _render_total(total: Total) -> str:
    return f'{{"totalRequests":{total.count},"totalAmount":{format_cents(total.amount_cents)}}}'
