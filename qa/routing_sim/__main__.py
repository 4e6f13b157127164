"""`python -m qa.routing_sim`: runs a routing policy on scenarios, beside simple rules and the best possible."""

from pathlib import Path

import click

from qa.routing_sim.chart import chart
from qa.routing_sim.report import many, one, run
from qa.routing_sim.scenario import ADVERSARIAL, FINAL, PREVIEW, random_scenario
from qa.routing_sim.strategy import strategies
from tollgate.processor.routing import Policy

DEFAULT = Policy()
SCENARIOS = {scenario.name: scenario for scenario in (PREVIEW, FINAL, *ADVERSARIAL)}


@click.command()
@click.option(
    "--scenario", "--course", "names", multiple=True, help=f"One of: {', '.join(SCENARIOS)}, adversarial. Repeatable."
)
@click.option("--random", "count", default=0, help="Number of random scenarios.")
@click.option("--seed", default=0, help="Seed of the first random scenario and of the router.")
@click.option("--strategy", "chosen", multiple=True, help="Only this strategy. Repeatable.")
@click.option("--patience", default=DEFAULT.patience_seconds, show_default=True, help="PROCESSOR_PATIENCE_SECONDS")
@click.option("--outage-patience", type=float, help="PROCESSOR_OUTAGE_PATIENCE_SECONDS  [default: the patience]")
@click.option("--places", default=400, show_default=True, help="PROCESSOR_CONCURRENCY")
@click.option("--failures", default=DEFAULT.failures_to_open, show_default=True, help="PROCESSOR_FAILURES_TO_OPEN")
@click.option("--probe", default=DEFAULT.probe_seconds_max, show_default=True, help="PROCESSOR_PROBE_SECONDS_MAX")
@click.option("--memory", default=DEFAULT.memory_seconds, show_default=True, help="PROCESSOR_MEMORY_SECONDS")
@click.option("--scale", default=1.0, help="Factor for payments and places: 0.1 is ten times as fast.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draws the first scenario and strategy.")
def main(  # noqa: PLR0917 - click passes an argument for each option
    names: tuple[str, ...],
    count: int,
    seed: int,
    chosen: tuple[str, ...],
    patience: float,
    outage_patience: float | None,
    places: int,
    failures: int,
    probe: float,
    memory: float,
    scale: float,
    svg: Path | None,
) -> None:
    """Runs strategies on scenarios in virtual time. Without --scenario and --random: the Rinha benchmark's two."""
    try:
        policy = Policy(patience, places, failures, probe, memory, outage_patience)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    known = list(strategies(policy, seed))
    if unknown := set(chosen) - set(known):
        raise click.UsageError(f"no such strategy: {', '.join(sorted(unknown))} (there are: {', '.join(known)})")
    if unknown := set(names) - {*SCENARIOS, "adversarial"}:
        raise click.UsageError(f"no such scenario: {', '.join(sorted(unknown))} (there are: {', '.join(SCENARIOS)})")
    scenarios = [SCENARIOS[name] for name in names if name in SCENARIOS]
    scenarios += ADVERSARIAL if "adversarial" in names else ()
    for scenario in scenarios or ([] if count else [PREVIEW, FINAL]):
        rows = run(scenario, policy, seed, list(chosen) or known, scale=scale)
        click.echo(one(rows) + "\n")
        if svg is not None:
            svg.write_text(chart(scenario, rows[0].result))
            svg = None
    if count:
        every = []
        for number in range(seed, seed + count):
            every += run(random_scenario(number), policy, seed, list(chosen) or known, scale=scale)
        click.echo(many(every))


if __name__ == "__main__":
    main()
