"""The figures as a Markdown table: one row for each figure, one column for each size. Pure."""

from collections.abc import Sequence

from qa.bench.report import Figures

_ROWS = {
    "start of the gateway, s": ("gateway_s",),
    "… its memory when ready, MB": ("gateway_ready_mb",),
    "start of the projector, s": ("projector_s",),
    "start of the processor until a waiting payment is charged, s": ("processor_s",),
    "start of the broker, s": ("broker_s",),
    "after all of the questions below: gateway, processor, projector, broker, MB": (
        *("gateway_mb", "processor_mb", "projector_mb", "nats-server_mb"),
    ),
    "broker after its start, MB": ("broker_started_mb",),
    "first start after a rebuild: projector, gateway, s": ("projector_first_s", "gateway_first_s"),
    "`GET /payments/{id}`, hit, p50, p99, ms": ("hit_p50_ms", "hit_p99_ms"),
    "… miss, p50, p99, ms": ("miss_p50_ms", "miss_p99_ms"),
    "summary of any window, p50, p99, ms": ("summary_p50_ms", "summary_p99_ms"),
    "summary of everything, p50, ms": ("whole_summary_p50_ms",),
    "`POST /payments`, one at a time, p50, p99, ms": ("post_p50_ms", "post_p99_ms"),
    "commit of 275 payments, p50, p99, ms": ("commit_p50_ms", "commit_p99_ms"),
    "rebuild, payments a second": ("rebuild_per_s",),
    "… at most, MB": ("rebuild_peak_mb",),
    "a query on a copy of the read model, s": ("query_s",),
    "… longest summary beside it, ms": ("summary_beside_query_max_ms",),
    "stream, bytes a payment": ("stream_mb",),
    "read model, bytes a payment": ("model_mb",),
    "index of ids, bytes a payment": ("index_mb",),
}
_PER_PAYMENT = ("stream_mb", "model_mb", "index_mb")


def as_markdown(rows: Sequence[Figures]) -> str:
    """One column for each size."""
    lines = [["payments", *(f"{int(row['payments']):,}" for row in rows)], ["---"] * (len(rows) + 1)]
    for title, names in _ROWS.items():
        lines.append([title, *(", ".join(_cell(row, name) for name in names) for row in rows)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(row: Figures, name: str) -> str:
    if name not in row:
        return "-"
    value = float(row[name])
    if name in _PER_PAYMENT:
        value *= 1e6 / float(row["payments"])
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
