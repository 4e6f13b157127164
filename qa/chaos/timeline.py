"""The timeline of one payment, in order: client, log and provider records together."""

from __future__ import annotations

from qa.chaos.clock import clock_text, us_of
from qa.chaos.history import History
from tollgate.contract.codec import encode
from tollgate.contract.events import LedgerPurged


def timeline_of(history: History, payment_id: str) -> list[str]:
    """A line for each thing that anybody said or did about the payment."""
    lines: list[tuple[int, str]] = []
    for request in (request for request in history.requests if request.payment_id == payment_id):
        for tried in request.tries:
            lines.append((tried.sent_at_us, f"client  {request.purpose}: asks for {request.cents} cents"))
            answer = f"answered {tried.status}" if tried.status else f"no answer: {tried.note}"
            if tried.answered_at_us:
                lines.append((tried.answered_at_us, f"client  {request.purpose}: {answer}"))
    lines += [
        (logged.stored_at_us, f"log     {logged.sequence}: {encode(logged.event).decode()}")
        for logged in history.log
        if not isinstance(logged.event, LedgerPurged) and logged.event.correlation_id == payment_id
    ]
    for provider, entries in history.provider_records.items():
        for entry in (entry for entry in entries if entry.payment_id == payment_id):
            stamp = us_of(entry.requested_at)
            lines.append((stamp, f"book    {provider}: {entry.cents} cents, under this stamp"))
    rows = [row for row in history.rows or () if row.payment_id == payment_id]
    return [
        f"payment {payment_id}",
        *(f"  {clock_text(moment)}  {line}" for moment, line in sorted(lines)),
        *(f"  {'':15}  read model: {row}" for row in rows),
    ]


def log_lines(history: History) -> list[str]:
    """The whole log, an event a line."""
    return [f"{one.sequence} {clock_text(one.stored_at_us)} {encode(one.event).decode()}" for one in history.log]
