"""The result as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from qa.load.audit import Audit
from qa.load.kills import RECOVERY_SECONDS_MAX, recovered_after_seconds
from qa.load.latency import percentiles
from qa.load.provider_records import Summary
from qa.load.result import Check, Finding, Result
from qa.load.window import moment_text

IDS_LISTED_MAX = 100
MEBIBYTE = 1024 * 1024


def table(result: Result) -> str:
    """The result as a table; the last line is the verdict."""
    return "\n".join(
        [
            *_requests(result),
            *_latencies(result),
            *_exactness(result),
            *_kills(result),
            *_programs(result),
            *_verdict(result.faults()),
        ]
    )


def _requests(result: Result) -> list[str]:
    offered, tally, sent = result.offered, result.tally, result.sent
    return [
        _line(
            "requests",
            f"{tally.offered} at {offered.rate_per_second:g}/s for {offered.seconds:g} s over {offered.connections}"
            f" connections, amounts {offered.amounts}",
        ),
        _line(
            "payments",
            f"accepted {len(sent.accepted)}, refused {len(sent.refused)}, unknown {len(sent.unknown)},"
            f" skipped {tally.skipped}",
        ),
        _line(
            "troubles",
            f"first-try 503s {tally.first_try_503}, connection errors {tally.connection_errors},"
            f" retries {tally.retries}",
        ),
    ]


def _latencies(result: Result) -> list[str]:
    tally = result.tally
    lines = [_columns("latency ms", ("p50", "p90", "p99", "max"))]
    for name, seconds in (
        ("from schedule", tally.from_schedule),
        ("from send", tally.from_send),
        ("send late by", tally.lateness),
    ):
        figures = percentiles(seconds)
        values = (figures.p50_ms, figures.p90_ms, figures.p99_ms, figures.max_ms)
        lines.append(_columns(f"  {name}", (f"{value:.2f}" for value in values)))
    return lines


def _exactness(result: Result) -> list[str]:
    drain, audit = result.drain, result.audit
    lag = (
        f"{drain.seconds:.2f} s until all was in the summary"
        if drain.complete
        else f"still {drain.remainder(len(result.sent.accepted))} missing after {drain.seconds:.1f} s"
    )
    payments = (
        f"lost {len(audit.lost)}, twice {len(audit.twice)}, invented {len(audit.invented)}, wrong {len(audit.wrong)},"
        f" refused but charged {len(audit.refused)}"
        if audit
        else f"skipped: {result.audit_skipped}"
    )
    found = ", ".join(f"{finding.value} {result.count(finding)}" for finding in Finding)
    return [
        _line("checks", f"{len(result.checks)}: {found}"),
        _line("lag", lag),
        _line("books", _summary_text(drain.last.provider_records)),
        _line("audit", payments),
    ]


def _kills(result: Result) -> list[str]:
    if not result.kills:
        return []
    killed = ", ".join(f"{kill.program} at {kill.at_seconds:.1f} s" for kill in result.kills)
    recovered = recovered_after_seconds(result.polls)
    figure = "never" if recovered is None else f"{recovered:.2f} s after the last kill"
    return [
        _line("killed", killed),
        _line("recovered", f"{figure} ({RECOVERY_SECONDS_MAX:g} s allowed, {len(result.polls)} polls)"),
    ]


def _programs(result: Result) -> list[str]:
    payments = max(1, len(result.sent.accepted))
    requests = max(1, result.tally.offered + result.tally.retries)
    lines = []
    if result.usage:
        lines.append(_columns("program", ("CPU ms/pay", "% of core", "RSS MiB", "PSS MiB", "processes")))
    for name, usage in result.usage.items():
        pss = "-" if usage.pss_bytes_max is None else f"{usage.pss_bytes_max / MEBIBYTE:.1f}"
        figures = (
            f"{usage.cpu_seconds * 1000 / payments:.3f}",
            f"{_share(usage.cpu_seconds, result.sampled_seconds):.1f}",
            f"{usage.rss_bytes_max / MEBIBYTE:.1f}",
            pss,
            str(usage.processes),
        )
        lines.append(_columns(f"  {name}", figures))
    if result.usage:
        cpu_seconds = sum(usage.cpu_seconds for usage in result.usage.values())
        rss_bytes = sum(usage.rss_bytes_max for usage in result.usage.values())
        together = (
            f"{cpu_seconds * 1000 / payments:.3f}",
            f"{_share(cpu_seconds, result.sampled_seconds):.1f}",
            f"{rss_bytes / MEBIBYTE:.1f}",
        )
        lines.append(_columns("  together", together))
    own_ms = result.generator_cpu_seconds * 1000 / requests
    return [*lines, _line("generator", f"{own_ms:.3f} ms of CPU a request, all its checks and samples included")]


def _verdict(faults: Sequence[str]) -> list[str]:
    return [_line("FAULT", fault) for fault in faults] or [_line("verdict", "every promise kept")]


def as_json(result: Result) -> dict[str, Any]:
    """All results, with units in the names; long lists of ids are cut to the first hundred."""
    tally, drain = result.tally, result.drain
    payments = max(1, len(result.sent.accepted))
    return {
        "offered": asdict(result.offered),
        "payments": {
            "accepted": len(result.sent.accepted),
            "accepted_cents": result.sent.least.cents,
            "refused": len(result.sent.refused),
            "unknown": len(result.sent.unknown),
            "skipped": tally.skipped,
        },
        "requests": {
            "offered": tally.offered,
            "retries": tally.retries,
            "first_try_503": tally.first_try_503,
            "connection_errors": tally.connection_errors,
            "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
            "refusals": tally.refusals,
        },
        "latency": {
            "from_schedule": asdict(percentiles(tally.from_schedule)),
            "from_send": asdict(percentiles(tally.from_send)),
            "send_late_by": asdict(percentiles(tally.lateness)),
        },
        "checks": [_check_json(check, result) for check in result.checks],
        "inconsistent": result.count(Finding.DIFFERS),
        "drain": {
            "seconds": drain.seconds,
            "complete": drain.complete,
            "remainder": drain.remainder(len(result.sent.accepted)),
            "product": _summary_json(drain.last.product),
            "books": _summary_json(drain.last.provider_records),
            "trouble": drain.last.trouble,
        },
        "audit": _audit_json(result.audit) if result.audit else {"skipped": result.audit_skipped},
        "kills": [asdict(kill) for kill in result.kills],
        "recovery": {
            "seconds": recovered_after_seconds(result.polls),
            "polls": [asdict(poll) for poll in result.polls],
        },
        "programs": {
            name: {
                **asdict(usage),
                "cpu_ms_per_payment": usage.cpu_seconds * 1000 / payments,
                "core_percent": _share(usage.cpu_seconds, result.sampled_seconds),
            }
            for name, usage in result.usage.items()
        },
        "sampled_seconds": result.sampled_seconds,
        "generator_cpu_ms_per_request": result.generator_cpu_seconds * 1000 / max(1, tally.offered + tally.retries),
        "faults": result.faults(),
    }


def _check_json(check: Check, result: Result) -> dict[str, Any]:
    compared = check.comparison
    difference = (
        compared.product - compared.provider_records if compared.product and compared.provider_records else None
    )
    return {
        "at_seconds": check.at_seconds,
        "took_seconds": check.took_seconds,
        "from": moment_text(compared.window.start),
        "to": moment_text(compared.window.end),
        "finding": check.finding(result.kills).value,
        "product": _summary_json(compared.product),
        "books": _summary_json(compared.provider_records),
        "difference": _summary_json(difference),
        "headers": compared.headers,
        "trouble": compared.trouble,
    }


def _audit_json(audit: Audit) -> dict[str, Any]:
    return {name: {"count": len(ids), "ids": list(ids[:IDS_LISTED_MAX])} for name, ids in asdict(audit).items()}


def _summary_json(summary: Summary | None) -> dict[str, Any] | None:
    return asdict(summary) if summary else None


def _summary_text(summary: Summary | None) -> str:
    if summary is None:
        return "no answer"
    return (
        f"default {summary.default.count} ({summary.default.cents} cents),"
        f" fallback {summary.fallback.count} ({summary.fallback.cents} cents)"
    )


def _share(cpu_seconds: float, seconds: float) -> float:
    """Percent of one core."""
    return 100 * cpu_seconds / seconds if seconds else 0.0


def _line(name: str, text: str) -> str:
    return f"{name:<16}{text}"


def _columns(name: str, values: Iterable[str]) -> str:
    return f"{name:<16}" + "".join(f"{value:>12}" for value in values)
