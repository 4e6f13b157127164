"""The `processor` program, and its composition root."""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import click

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_MAX
from tollgate.contract.statistics import STATISTICS
from tollgate.messaging.clock_watch import ClockWatch
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import until_ensured
from tollgate.messaging.gathering import answering
from tollgate.messaging.health_bucket import HealthBucket
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import ReadModel
from tollgate.processor.charging.attempts import Attempts
from tollgate.processor.charging.doubt_handler import DoubtHandler
from tollgate.processor.charging.group_commit import GroupCommit
from tollgate.processor.charging.handler import PaymentHandler
from tollgate.processor.charging.histories import Histories
from tollgate.processor.charging.lookups import Lookups
from tollgate.processor.charging.payment_states import PaymentStates
from tollgate.processor.charging.ports import LogAppender, Providers
from tollgate.processor.charging.provider import Provider
from tollgate.processor.charging.provider_client import ProviderClient
from tollgate.processor.charging.release_handler import ReleaseHandler
from tollgate.processor.charging.start import begin
from tollgate.processor.charging.state_follower import Follower
from tollgate.processor.health.client import HealthClient
from tollgate.processor.health.lease import HealthLease, Pace
from tollgate.processor.health.poller import HealthPoller, OnHealth
from tollgate.processor.health.report import Health
from tollgate.processor.intake.progress import Progress
from tollgate.processor.intake.queue_intake import QueueIntake
from tollgate.processor.intake.queues import REQUESTS
from tollgate.processor.intake.requests import IN_HAND_FACTOR, requests_queue
from tollgate.processor.intake.side_queues import doubts_queue, released_queue
from tollgate.processor.metered import MeteredLog, MeteredProviderLog, MeteredProviders, MeteredRouter
from tollgate.processor.metrics import ProcessorMetrics
from tollgate.processor.operations.cli import resolve, status
from tollgate.processor.routing import Router
from tollgate.processor.settings import Settings
from tollgate.processor.traced import TracedAppender, TracedPaymentHandler, TracedProviders, note_status
from tollgate.runtime.bloom_set import BloomSet
from tollgate.runtime.cli import Group
from tollgate.runtime.clock import SystemClock
from tollgate.runtime.heartbeat import beat
from tollgate.runtime.metrics import new_registry, serve_metrics, statistics_of
from tollgate.runtime.process import run as run_process
from tollgate.runtime.process import run_together
from tollgate.runtime.tracing import traces_of

logger = logging.getLogger(__name__)


@click.group(cls=Group)
def main() -> None:
    """Charges the payments of the log; status and manual resolution."""


@main.command()
def run() -> None:
    """Runs until stopped. Settings come from the environment (see docs/reference/settings.md)."""
    me = _name()
    run_process(partial(serve, me), Settings, program="processor", instance=lambda _: me)


main.add_command(status)
main.add_command(resolve)


async def serve(me: str, settings: Settings) -> None:
    """Joins the parts and runs them until cancelled; `me` is the name of this replica."""
    pace = Pace(settings.processor_health_interval_seconds)
    providers = settings.providers()
    policy = settings.policy()
    async with Broker(settings.nats_url, name="processor", ca_file=settings.nats_ca_file) as broker:
        watch = LogWatch(broker, missing_accepted=settings.log_missing_accepted)
        me = _name()
        traces = traces_of(settings, program="processor", instance=me, now_us=broker.clock.now_us)
        registry = new_registry("processor")
        metrics = ProcessorMetrics(registry)
        log = MeteredLog(broker, watch, metrics)
        await log.wait_until_exists()
        floor = (await until_ensured(broker, REQUESTS)).floor
        provider_log = MeteredProviderLog(metrics)
        client = ProviderClient(
            providers,
            provider_log=provider_log,
            timeout_seconds=settings.processor_timeout_seconds,
            connections_max=int(settings.processor_concurrency * IN_HAND_FACTOR),
            on_status=None if traces is None else note_status,
        )
        try:
            read_model = ReadModel(broker)
            state_cache = await begin(watch, log, read_model, BloomSet(), oldest=floor + 1)
            logger.info("reading the log from %d on", state_cache.start_sequence)
            follower = Follower(broker, state_cache, watch)
            router = MeteredRouter(policy, Random(), provider_log, metrics)  # noqa: S311 - chance, no secrets
            clock = ClockWatch(
                broker,
                consequence=f"nothing is charged once it is off by more than {CLOCK_OFFSET_SECONDS_MAX} s",
                too_far="nothing is charged until it is right again",
            )
            system_clock = SystemClock()
            histories = Histories(broker, read_model)
            lookups = Lookups(read_model, histories, lambda: watch.is_sure)
            payment_states = PaymentStates(state_cache, lookups)
            store: LogAppender = GroupCommit(log)
            called: Providers = MeteredProviders(client, metrics)
            handle_payments: Callable[..., PaymentHandler] = PaymentHandler
            if traces is not None:
                store, called = TracedAppender(store, traces), TracedProviders(called, providers, traces)
                handle_payments = partial(TracedPaymentHandler, traces=traces)
            attempts = Attempts(store, follower, called, system_clock, provider_log)
            payments = handle_payments(
                *(store, follower, payment_states, attempts, router),
                read_model=read_model,
                clock=clock,
                system_clock=system_clock,
            )
            doubts = DoubtHandler(follower, payment_states, attempts, router, clock=system_clock)
            requests = requests_queue(
                broker, payments, router, clock, concurrency=settings.processor_concurrency, start_sequence=floor + 1
            )
            progress = Progress(me, broker, log, clock=clock, requests=requests, follower=follower, router=router)
            poller = _health_poller(me, broker, providers, pace, _on_health(router, metrics))
            metrics.watch(router, progress, lambda: requests.in_hand, broker.clock)
            queues = (
                requests,
                *(doubts_queue(broker, name, doubts, router) for name in PROVIDERS),
                released_queue(broker, ReleaseHandler(payments, follower, histories, attempts)),
            )
            await run_together(
                *(_take(queue, follower) for queue in queues),
                _answer_statistics(broker, statistics_of(registry, "processor", f"processor {me}")),
                serve_metrics(registry, settings, program="processor"),
                follower.run(),
                poller.run(),
                clock.run(),
                progress.run(),
                broker.until_closed(),
                beat(settings.heartbeat_file, lambda: broker.is_connected and clock.is_right),
                *(() if traces is None else (traces.run(),)),
            )
        finally:
            await client.close()


async def _take(queue: QueueIntake, follower: Follower) -> None:
    """Takes from the queue until cancelled, once the log was read."""
    await follower.is_started.wait()
    await queue.run()


async def _answer_statistics(broker: Broker, statistics: Callable[[], bytes]) -> None:
    async with answering(broker, STATISTICS, statistics):
        await broker.until_closed()


def _name() -> str:
    # Another process is another replica, also when it has the same name and id in a container that was started anew.
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def _on_health(router: Router, metrics: ProcessorMetrics) -> OnHealth:
    def on_health(provider: ProviderName, health: Health) -> None:
        metrics.health(provider, failing=health.failing)
        router.observe_health(provider, health, time.monotonic())

    return on_health


def _health_poller(
    me: str, broker: Broker, providers: Mapping[ProviderName, Provider], pace: Pace, on_health: OnHealth
) -> HealthPoller:
    return HealthPoller(broker, HealthBucket(broker), HealthClient(providers), HealthLease(me, pace), on_health)
