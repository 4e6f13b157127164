"""Median and spread of each figure over several runs, as Markdown, JSON and a plot. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from qa.bench.stages.measure import HIGHEST, HIGHEST_FAST, IDLE, Run

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
WIDTH, HEIGHT, MARGIN = 960, 340, 48
COLOURS = ("#2a7f62", "#c8553d", "#3d6cc8", "#b8860b", "#7b4ea3", "#5f9ea0", "#888888")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, the least and the largest of the runs."""

    middle: float
    least: float
    most: float

    def __str__(self) -> str:
        digits = 0 if self.middle >= 100 else 1 if self.middle >= 10 else 2 if self.middle >= 1 else 3
        one = f"{self.middle:,.{digits}f}"
        return one if self.least == self.most else f"{one} ({self.least:,.{digits}f} to {self.most:,.{digits}f})"


Summary = dict[str, dict[str, Spread]]


def summarise(runs: Sequence[Run]) -> Summary:
    """Each figure over the runs that have it."""
    summary: Summary = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        sections = [run[name] for run in runs if name in run]
        figures = dict.fromkeys(figure for section in sections for figure in section)
        summary[name] = {}
        for figure in figures:
            values = [section[figure] for section in sections if figure in section]
            summary[name][figure] = Spread(median(values), min(values), max(values))
    return summary


def as_json(runs: Sequence[Run], conditions: dict[str, str]) -> str:
    """Every run, and the summary."""
    summary = {
        section: {figure: {"median": one.middle, "min": one.least, "max": one.most} for figure, one in figures.items()}
        for section, figures in summarise(runs).items()
    }
    return json.dumps({"conditions": conditions, "summary": summary, "runs": list(runs)}, indent=2) + "\n"


def as_markdown(runs: Sequence[Run], conditions: dict[str, str], plot: str) -> str:
    """The tables and the plot, whose file name is `plot`."""
    summary = summarise(runs)
    loads = _loads(summary)
    total = {name: summary[name] for name in loads}
    parts = [
        f"Runs: {len(runs)}. " + " ".join(f"{name}: {value}." for name, value in conditions.items()),
        "Each figure is the median; in parentheses the least and the largest, where they differ.",
        f"![CPU for each payment by program and rate]({plot})",
        "**The whole stack**, over 200 connections:",
        _table("load", total, _headings(total)),
        "**CPU in ms for each payment, by program**:",
        _table("load", total, _of_programs(total, "cpu_ms")),
        "**Wake-ups for each payment, by program**:",
        _table("load", total, _of_programs(total, "wake_ups")),
    ]
    if IDLE in summary:
        idle = {IDLE: summary[IDLE]}
        parts += [
            "**Idle**, per cent of one core:",
            _table("", idle, {"all": "core_percent"} | _of_programs(idle, "core_percent")),
        ]
    parts.append("**The limits of the stages**:")
    for name, figures in summary.items():
        if name not in loads and name != IDLE:
            row = ", ".join(f"{figure.replace('_', ' ')} {value}" for figure, value in figures.items())
            parts.append(f"- {name}: {row}")
    return "\n\n".join(parts).replace("\n\n- ", "\n- ").replace("stages**:\n- ", "stages**:\n\n- ") + "\n"


def placed(page: str, figures: str) -> str:
    """The page with its figures replaced. Raises ValueError when the page has no place for them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{head}{BEGIN}\n\n{figures}\n{END}{tail}"


def chart(runs: Sequence[Run]) -> str:
    """A bar for each load: CPU for each payment, stacked by program; beside it the empty handler. As SVG."""
    summary = summarise(runs)
    loads = _loads(summary)
    programs = list(_of_programs({name: summary[name] for name in loads}, "cpu_ms"))
    top = max([1e-9, *(summary[name]["cpu_ms"].middle * 1.1 for name in loads)])
    step = (WIDTH - 2 * MARGIN) / max(len(loads), 1)
    scale = (HEIGHT - 2 * MARGIN) / top
    floor = HEIGHT - MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{MARGIN}" y="16">CPU in ms for each payment; grey: an empty handler at the same rate</text>',
    ]
    for place, name in enumerate(loads):
        left, base = MARGIN + place * step, float(floor)
        for colour, program in zip(COLOURS, programs, strict=False):
            height = scale * _middle(summary, name, f"cpu_ms {program}")
            base -= height
            parts.append(_bar(left, base, step * 0.4, height, colour))
        parts.append(f'<text x="{left:.1f}" y="{base - 4:.1f}">{summary[name]["cpu_ms"].middle:.2f}</text>')
        height = scale * _middle(summary, name, "empty_cpu_ms")
        parts.append(_bar(left + step * 0.45, floor - height, step * 0.2, height, "#bbbbbb"))
        parts.append(f'<text x="{left:.1f}" y="{floor + 16}">{_title(summary, name)}</text>')
    for place, (colour, program) in enumerate(zip(COLOURS, programs, strict=False)):
        parts.append(f'<text x="{MARGIN + 120 * place}" y="{HEIGHT - 8}" fill="{colour}">{program}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(left: float, top: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _loads(summary: Summary) -> list[str]:
    return [name for name, figures in summary.items() if "rate" in figures]


def _middle(summary: Summary, section: str, figure: str) -> float:
    return summary[section][figure].middle if figure in summary[section] else 0.0


def _title(summary: Summary, name: str) -> str:
    return f"{name}: {summary[name]['rate'].middle:,.0f}/s" if name in {HIGHEST, HIGHEST_FAST} else name


def _headings(sections: Summary) -> dict[str, str]:
    """The figures that are not of one program, by heading."""
    names = dict.fromkeys(figure for figures in sections.values() for figure in figures)
    return {name.replace("_", " "): name for name in names if " " not in name}


def _of_programs(sections: Summary, figure: str) -> dict[str, str]:
    names = dict.fromkeys(name for figures in sections.values() for name in figures)
    return {name.split(" ", 1)[1]: name for name in names if name.startswith(f"{figure} ")}


def _table(corner: str, sections: Summary, columns: dict[str, str]) -> str:
    lines = [[corner, *columns], ["---"] * (len(columns) + 1)]
    for name, figures in sections.items():
        lines.append([name, *(str(figures[figure]) if figure in figures else "" for figure in columns.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
