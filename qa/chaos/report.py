"""The report as text: a line for each run, and a table over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from qa.chaos.check import COLUMNS
from qa.chaos.coverage import LEADER_KILLED
from qa.chaos.result import Result, Suite


def one_line(result: Result) -> str:
    """The line of a run."""
    if result.trouble:
        what = f"not judged: {result.trouble}"
    elif result.clean:
        what = f"clean; ended and agreed {result.healed_after_seconds:.1f} s after the last client"
    else:
        what = ", ".join(f"{count} {name}" for name, count in result.columns.items() if count).upper()
    faults = sum(result.faults_by_kind.values())
    kept = f"; see {result.kept}" if result.kept else ""
    return f"seed {result.seed}: {result.payments} payments, {faults} faults, {result.charged} charges: {what}{kept}"


def summary(suite: Suite, *, seconds: float, needs_all: bool) -> str:
    """The summary of a suite."""
    lines = ["", *_table(_column_rows(suite)), "", *_table(_sometimes_rows(suite))]
    lines += [f"{name}: {what}" for name, what in _gap_rows(suite.results)]
    for result in suite.results:
        if not result.clean:
            lines += ["", one_line(result), *(f"  {line}" for line in result.offences)]
            again = "chaos-cluster" if LEADER_KILLED in suite.sometimes else "chaos"
            lines += [f"  again: make {again} SEED={result.seed} RUNS=1 SECONDS={result.seconds:g}"]
    if needs_all and (missing := suite.never_reached()):
        lines += ["", f"never reached, so not tested: {', '.join(missing)}"]
    bad = sum(not result.clean for result in suite.results)
    lines += ["", f"{len(suite.results)} runs in {seconds:.0f} s: {f'{bad} NOT CLEAN' if bad else 'all clean'}"]
    return "\n".join(lines)


def markdown(suite: Suite) -> str:
    """The tables of docs/explanation/evidence.md."""
    results = suite.results
    seeds = sorted(result.seed for result in results)
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for result in results:
        faults.update(result.faults_by_kind)
        outcomes.update(result.outcomes)
    healed = sorted(result.healed_after_seconds for result in results)
    rows = [
        ("runs", f"{len(results)}, seeds {_ranges(seeds)}, {results[0].seconds:g} s of faults each"),
        ("faults that took", ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))),
        ("requests", f"{sum(result.requests for result in results):,}"),
        ("their outcome", ", ".join(f"{outcomes[name]:,} {name}" for name in ("ok", "refused", "unknown"))),
        ("payments", f"{sum(result.payments for result in results):,}"),
        ("charges", f"{sum(result.charged for result in results):,}"),
        ("events in the log", f"{sum(result.events for result in results):,}"),
        *_gap_rows(results),
        (
            "ended and agreed",
            f"{healed[len(healed) // 2]:.1f} s after the last client (median), {healed[-1]:.1f} s at most",
        ),
    ]
    parts = [
        _markdown_table(("", ""), rows),
        _markdown_table(("broken promises", "count", ""), _column_rows(suite)),
        _markdown_table(("reached", "times", "in runs"), _sometimes_rows(suite)),
    ]
    return "\n\n".join(parts)


def _gap_rows(results: Sequence[Result]) -> list[tuple[str, str]]:
    gaps = sorted(gap for result in results for gap in result.gaps_seconds)
    if not gaps:
        return []
    return [
        (
            "without an acceptance after a fault of the leader",
            f"{gaps[len(gaps) // 2]:.1f} s (median), {gaps[-1]:.1f} s at most, in {len(gaps)} of them",
        )
    ]


def _column_rows(suite: Suite) -> list[tuple[str, str, str]]:
    counts = suite.columns()
    return [(name, str(counts[name]), meaning) for name, meaning in COLUMNS.items()]


def _sometimes_rows(suite: Suite) -> list[tuple[str, str, str]]:
    reached = suite.reached()
    runs = Counter(name for result in suite.results for name, count in result.reached.items() if count)
    return [(name, f"{reached[name]:,}", f"{runs[name]} of {len(suite.results)}") for name in suite.sometimes]


def _table(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    return [f"{count:>9}  {name:<26}  {more}".rstrip() for name, count, more in rows]


def _markdown_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _ranges(seeds: list[int]) -> str:
    """`1-5, 9`."""
    parts: list[tuple[int, int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], seed)
        else:
            parts.append((seed, seed))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
