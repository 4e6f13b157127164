"""A chart of a scenario: payments accepted and charged in each second, and when each provider failed."""

from collections import Counter as Tally

from qa.routing_sim.scenario import Scenario
from qa.routing_sim.trial import Result

WIDTH, HEIGHT, MARGIN = 960, 300, 44
COLOURS = {"default": "#2a7f62", "fallback": "#c8553d", "arrivals": "#888888"}


def chart(scenario: Scenario, result: Result) -> str:
    """The chart, as SVG."""
    seconds = int(scenario.seconds + scenario.drain_seconds)
    arrived = Tally(int(at) for at in scenario.arrivals())
    charged = {
        name: Tally(int(settled_at) for _, settled_at, provider in result.settled if provider == name)
        for name in ("default", "fallback")
    }
    top = max(*arrived.values(), *(max(tally.values(), default=0) for tally in charged.values()))

    def x(at: float) -> float:
        return MARGIN + at / seconds * (WIDTH - 2 * MARGIN)

    def y(count: float) -> float:
        return HEIGHT - MARGIN - count / top * (HEIGHT - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{MARGIN}" y="18">{scenario.name}: payments a second; bars mark when a provider fails</text>',
    ]
    ends = [stage.at_seconds for stage in scenario.stages[1:]] + [float(seconds)]
    for stage, end in zip(scenario.stages, ends, strict=True):
        for row, (name, weather) in enumerate((("default", stage.default), ("fallback", stage.fallback))):
            if weather.failing:
                parts.append(
                    f'<rect x="{x(stage.at_seconds):.1f}" y="{HEIGHT - MARGIN + 4 + 6 * row}" '
                    f'width="{x(end) - x(stage.at_seconds):.1f}" height="5" fill="{COLOURS[name]}"/>'
                )
        delays = f"{stage.default.delay_seconds * 1000:.0f} / {stage.fallback.delay_seconds * 1000:.0f}"
        parts.append(
            f'<line x1="{x(stage.at_seconds):.1f}" x2="{x(stage.at_seconds):.1f}" y1="{MARGIN}" '
            f'y2="{HEIGHT - MARGIN}" stroke="#ddd"/><text x="{x(stage.at_seconds) + 3:.1f}" y="{MARGIN - 6}" '
            f'fill="#666" font-size="10">{delays} ms</text>'
        )
    for name, tally in (("arrivals", arrived), *charged.items()):
        points = " ".join(f"{x(at + 0.5):.1f},{y(tally.get(at, 0)):.1f}" for at in range(seconds))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.5"/>')
    for index, name in enumerate(COLOURS):
        parts.append(f'<text x="{MARGIN + 90 * index}" y="{HEIGHT - 8}" fill="{COLOURS[name]}">{name}</text>')
    parts += [f'<text x="4" y="{y(top) + 4:.0f}">{top}</text>', f'<text x="4" y="{y(0):.0f}">0</text>', "</svg>"]
    return "\n".join(parts) + "\n"
