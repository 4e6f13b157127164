"""The `processor` program, and its composition root."""

import click
import environ

from processor.client import ProcessorClient
from processor.deliveries import ensure_consumer
from processor.follower import Follower
from processor.handling import PaymentHandler
from processor.journal import Journal
from processor.routing import Router
from processor.settings import Settings
from processor.worker import Worker
from runtime.broker import Broker
from runtime.log import Log
from runtime.process import alongside
from runtime.process import run as run_process
from runtime.read_model import ReadModel


@click.group()
def main() -> None:
    """Takes requests from the log and charges them."""


@main.command()
def run() -> None:
    """Works until stopped. Settings come from the environment (see docs/settings.md)."""
    run_process(serve(environ.to_config(Settings)))


async def serve(settings: Settings) -> None:
    """Joins the parts and runs them until cancelled."""
    async with Broker(settings.nats_url, name="processor") as broker:
        log = Log(broker)
        await log.made()
        floor = await ensure_consumer(broker)
        client = ProcessorClient(
            {"default": settings.payment_processor_url_default, "fallback": settings.payment_processor_url_fallback},
            timeout_seconds=settings.processor_timeout_seconds,
            connections_max=settings.processor_concurrency,
        )
        try:
            follower = Follower(broker, Journal(floor + 1))
            router = Router()
            handler = PaymentHandler(log, follower, client, router, ReadModel(broker))
            worker = Worker(
                broker, handler, router, concurrency=settings.processor_concurrency, start_sequence=floor + 1
            )
            await alongside(worker.run(), follower.run(), broker.until_closed())
        finally:
            await client.close()
