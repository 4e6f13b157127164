"""The `gateway` program and its composition root."""

from collections.abc import Callable
from functools import partial

import click

from tollgate.contract.statistics import STATISTICS
from tollgate.gateway.accept import Acceptance
from tollgate.gateway.app import Handlers, create_app
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.filter_start import load_filter
from tollgate.gateway.metered_log import MeteredLog
from tollgate.gateway.metrics import GatewayMetrics
from tollgate.gateway.payment_endpoint import PaymentEndpoint
from tollgate.gateway.query import Ledger
from tollgate.gateway.readiness import Readiness
from tollgate.gateway.server import serve_http
from tollgate.gateway.settings import Settings
from tollgate.gateway.traced import TracedAcceptance, TracedLog
from tollgate.messaging.clock_watch import ClockWatch
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import answering
from tollgate.messaging.log import Log
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import ReadModel
from tollgate.runtime.cli import Group
from tollgate.runtime.heartbeat import beat
from tollgate.runtime.id_filter import BYTES_IN_MB, IdFilter
from tollgate.runtime.metrics import new_registry, serve_metrics, statistics_of
from tollgate.runtime.process import run as run_process
from tollgate.runtime.process import run_together
from tollgate.runtime.tracing import traces_of


@click.group(cls=Group)
def main() -> None:
    """Accepts payments into the log and serves queries about them."""


@main.command()
def run() -> None:
    """Serves HTTP until stopped. Settings come from the environment (see docs/reference/settings.md)."""
    run_process(serve, Settings, program="gateway", instance=lambda settings: settings.gateway_name)


async def serve(settings: Settings) -> None:
    """Builds the parts and runs them until cancelled."""
    broker = Broker(settings.nats_url, name=settings.gateway_name, ca_file=settings.nats_ca_file)
    watch = LogWatch(broker, missing_accepted=settings.log_missing_accepted)
    registry = new_registry("gateway")
    metrics = GatewayMetrics(registry)
    traces = traces_of(settings, program="gateway", instance=settings.gateway_name, now_us=broker.clock.now_us)
    read_model = ReadModel(broker)
    known_ids = IdFilter(settings.known_ids_filter_mb * BYTES_IN_MB)
    dedup_index = DedupIndex(broker, known_ids, watch=watch, load=partial(load_filter, broker, read_model))
    timeout_seconds = settings.gateway_accept_timeout_seconds
    if traces is None:
        log = MeteredLog(broker, watch, metrics)
        acceptance = Acceptance(log, read_model, dedup_index, broker.clock, timeout_seconds=timeout_seconds)
    else:
        log = traced_log = TracedLog(broker, watch, metrics, traces)
        acceptance = TracedAcceptance(
            traced_log, read_model, dedup_index, broker.clock, timeout_seconds=timeout_seconds, traces=traces
        )
    ledger = Ledger(broker, log, read_model, dedup_index)
    payments = PaymentEndpoint(acceptance, metrics)
    readiness = Readiness(read_model, broker.clock)
    app = create_app(Handlers(payments, ledger, readiness, allow_purge=settings.allow_purge))
    metrics.watch(acceptance, ledger, dedup_index, broker.clock)
    await run_together(
        serve_http(app, payments, settings),
        _stay_connected(broker, log, dedup_index, statistics_of(registry, "gateway", settings.gateway_name)),
        serve_metrics(registry, settings, program="gateway"),
        beat(settings.heartbeat_file, lambda: ledger.why_not_ready() is None),
        *(() if traces is None else (traces.run(),)),
    )


async def _stay_connected(broker: Broker, log: Log, dedup_index: DedupIndex, statistics: Callable[[], bytes]) -> None:
    """Connects to the broker and follows the log. HTTP is served meanwhile, with 503 until the log was read once."""
    stamps = "payments are stamped by the broker's clock"
    async with broker:
        await log.wait_until_exists()
        clock = ClockWatch(broker, consequence=stamps, too_far=stamps)
        async with answering(broker, STATISTICS, statistics):
            await run_together(dedup_index.run(), clock.run(), broker.until_closed())
