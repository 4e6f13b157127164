"""Time of the compose stack from `up -d` to the first accepted payment; the image is built before.

python -m qa.load.startup --rounds 3
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
import uuid

import click

from qa.load.client import NoAnswerError, Pool
from qa.load.compose import CONTEST_FILES, Compose, ComposeError, Ports, why_not

PROJECT_NAME = "tollgate-measure"
ANSWER_SECONDS_MAX = 12.0
ACCEPTED_SECONDS_MAX = 120.0
POLL_SECONDS = 0.02


class NotAcceptedError(Exception):
    """No payment was accepted within the bound."""


def up_until_accepted(compose: Compose) -> float:
    """Starts the stack. Returns the seconds until a payment was accepted. Raises ComposeError or NotAcceptedError."""
    began = time.monotonic()
    compose.up()
    asyncio.run(_until_accepted(compose, began + ACCEPTED_SECONDS_MAX))
    return time.monotonic() - began


async def _until_accepted(compose: Compose, deadline: float) -> None:
    pool = Pool(compose.product, 1)
    body = f'{{"correlationId":"{uuid.uuid4()}","amount":0.01}}'.encode()
    request = pool.origin.request("POST", "/payments", body)
    why = ""
    try:
        while time.monotonic() < deadline:
            try:
                answer = await pool.ask(request, ANSWER_SECONDS_MAX)
            except NoAnswerError as error:
                why = str(error)
            else:
                if answer.status == 202:
                    return
                why = f"{answer.status} {answer.body.decode(errors='replace')}"
            await asyncio.sleep(POLL_SECONDS)
    finally:
        pool.close()
    raise NotAcceptedError(f"no payment was accepted within {ACCEPTED_SECONDS_MAX:.0f} s: {why}")


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, type=click.IntRange(1, 50), help="Number of starts, each from nothing.")
@click.option("--port", default=19_999, help="Port of the edge; the next two are the providers'.")
def main(*, rounds: int, port: int) -> None:
    """Starts the compose stack from nothing, and measures the time to its first accepted payment."""
    if (reason := why_not()) is not None:
        raise click.UsageError(reason)
    compose = Compose(PROJECT_NAME, Ports(port, port + 1, port + 2), files=CONTEST_FILES)
    took = []
    try:
        compose.build()
        for _ in range(rounds):
            compose.down()
            with compose:
                took.append(up_until_accepted(compose))
            click.echo(f"first payment accepted after {took[-1]:.1f} s")
    except (ComposeError, NotAcceptedError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(f"median of {rounds}: {statistics.median(took):.1f} s")


if __name__ == "__main__":
    main()
