"""The `processor` program, and its composition root."""

import os
import secrets
import socket
import time
from collections.abc import Mapping
from random import Random

import click

from contract.events import PROCESSORS, ProcessorName
from contract.standing import CLOCK_OFFSET_SECONDS_MAX
from processor.attempts import Attempts
from processor.client import ProcessorClient
from processor.consumers import until_ensured
from processor.deliveries import REQUESTS
from processor.doubts import DoubtHandler
from processor.follower import Follower
from processor.group_commit import GroupCommit
from processor.handling import PaymentHandler
from processor.health_client import HealthClient
from processor.health_lease import HealthLease, Pace
from processor.health_poller import HealthPoller
from processor.health_report import Health
from processor.histories import Histories
from processor.journal import Journal
from processor.operator_cli import resolve, status
from processor.progress import Progress
from processor.provider import Provider
from processor.releases import ReleaseHandler
from processor.routing import Router
from processor.settings import Settings
from processor.side_queue import doubts_queue, released_queue
from processor.standings import Standings
from processor.worker import IN_HAND_MAX, Worker
from runtime.broker import Broker
from runtime.cli import Group
from runtime.clock_watch import ClockWatch
from runtime.health_bucket import HealthBucket
from runtime.heartbeat import beat
from runtime.log import Log
from runtime.log_watch import LogWatch
from runtime.process import alongside
from runtime.process import run as run_process
from runtime.read_model import ReadModel
from runtime.seen import SeenPayments


@click.group(cls=Group)
def main() -> None:
    """Takes requests from the log and charges them."""


@main.command()
def run() -> None:
    """Works until stopped. Settings come from the environment (see docs/settings.md)."""
    run_process(serve, Settings)


main.add_command(status)
main.add_command(resolve)


async def serve(settings: Settings) -> None:
    """Joins the parts and runs them until cancelled."""
    pace = Pace(settings.processor_health_interval_seconds)
    providers = settings.providers()
    policy = settings.policy()
    async with Broker(settings.nats_url, name="processor", ca_file=settings.nats_ca_file) as broker:
        watch = LogWatch(broker, missing_accepted=settings.log_missing_accepted)
        log = Log(broker, watch)
        await log.made()
        floor = (await until_ensured(broker, REQUESTS)).floor
        client = ProcessorClient(
            providers,
            timeout_seconds=settings.processor_timeout_seconds,
            connections_max=int(settings.processor_concurrency * IN_HAND_MAX),
        )
        try:
            journal = Journal(floor + 1, SeenPayments())
            follower = Follower(broker, journal, watch)
            router = Router(policy, Random())  # noqa: S311 - chance, no secrets
            clock = ClockWatch(
                broker,
                consequence=f"nothing is charged once it is off by more than {CLOCK_OFFSET_SECONDS_MAX} s",
                too_far="nothing is charged until it is right again",
            )
            read_model = ReadModel(broker)
            histories = Histories(broker, read_model)
            standings, store = Standings(journal, histories), GroupCommit(log)
            attempts = Attempts(store, follower, client)
            payments = PaymentHandler(store, follower, standings, attempts, router, read_model=read_model, clock=clock)
            doubts = DoubtHandler(follower, standings, attempts, router)
            worker = Worker(
                broker, payments, router, clock, concurrency=settings.processor_concurrency, start_sequence=floor + 1
            )
            me = _name()
            progress = Progress(me, broker, log, clock=clock, worker=worker, follower=follower, router=router)
            poller = _health_poller(me, broker, providers, pace, router)
            await alongside(
                worker.run(),
                *(doubts_queue(broker, name, doubts, router).run() for name in PROCESSORS),
                released_queue(broker, ReleaseHandler(payments, follower, histories)).run(),
                follower.run(),
                poller.run(),
                clock.run(),
                progress.run(),
                broker.until_closed(),
                beat(settings.heartbeat_file, lambda: broker.is_connected and clock.is_right),
            )
        finally:
            await client.close()


def _name() -> str:
    # Another process is another replica, also when it has the same name and id in a container that was started anew.
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def _health_poller(
    me: str, broker: Broker, providers: Mapping[ProcessorName, Provider], pace: Pace, router: Router
) -> HealthPoller:
    def on_health(processor: ProcessorName, health: Health) -> None:
        router.observe_health(processor, health, time.monotonic())

    return HealthPoller(broker, HealthBucket(broker), HealthClient(providers), HealthLease(me, pace), on_health)
