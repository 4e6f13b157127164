"""The `console` program and its composition root."""

import asyncio

import click

from tollgate.console.access import Access
from tollgate.console.app import Handlers, create_app
from tollgate.console.collector import UNWATCHED_SECONDS, WATCHED_SECONDS, Collector
from tollgate.console.history import History
from tollgate.console.live import Recent, render_live, sample_of
from tollgate.console.pages import Pages
from tollgate.console.programs import KnownPrograms
from tollgate.console.questions import Questions
from tollgate.console.settings import Settings, check
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import ask_statistics
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel
from tollgate.runtime.cli import Group
from tollgate.runtime.http_server import serve as serve_http
from tollgate.runtime.http_server import server_config
from tollgate.runtime.process import run as run_process
from tollgate.runtime.process import run_together

DRAIN_SECONDS = 1
"""How long a stopping server lets requests finish; pages that are open are cut off, and connect again by themselves."""
CONNECTIONS_MAX = 128


@click.group(cls=Group)
def main() -> None:
    """Shows in a browser what the stack does; reads only."""


@main.command()
def run() -> None:
    """Serves the page until stopped. Settings come from the environment (see docs/reference/settings.md)."""
    run_process(serve, Settings, program="console", instance=lambda _: "console")


async def serve(settings: Settings) -> None:
    """Builds the parts and runs them until cancelled."""
    check(settings)
    broker = Broker(settings.nats_url, name="console", ca_file=settings.nats_ca_file)
    read_model = ReadModel(broker)
    pages, history = Pages(), History()
    handlers = Handlers(pages, history, Questions(Log(broker), read_model), Access(settings.console_token))
    config = server_config(
        create_app(handlers),
        host=settings.console_host,
        port=settings.console_port,
        lifespan="on",
        limit_concurrency=CONNECTIONS_MAX,
        drain_seconds=DRAIN_SECONDS,
    )
    await run_together(
        serve_http(config, program="console"),
        _stay_connected(broker),
        _collect(Collector(broker, read_model, lambda: ask_statistics(broker)), pages, history),
    )


async def _stay_connected(broker: Broker) -> None:
    async with broker:
        await broker.until_closed()


async def _collect(collector: Collector, pages: Pages, history: History) -> None:
    """Asks, and publishes the answers, at the pace that the open pages need."""
    loop = asyncio.get_running_loop()
    recent, programs = Recent(), KnownPrograms()
    while True:
        began = loop.time()
        observation = await collector.observe()
        sample = sample_of(observation)
        recent.add(sample)
        point = history.add(sample)
        await pages.publish(render_live(observation, recent, point, programs))
        if pages.count:
            await asyncio.sleep(max(WATCHED_SECONDS - (loop.time() - began), 0))
        else:
            await pages.until_opened(UNWATCHED_SECONDS)
