"""The `projector` program, and its composition root."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from tollgate.archive.whole_log import check_complete, lacks_beginning, whole_log
from tollgate.contract.log_mark import LogState
from tollgate.contract.statistics import STATISTICS
from tollgate.messaging.clock_watch import ClockWatch
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import answering
from tollgate.messaging.health_bucket import HealthBucket
from tollgate.messaging.log import Log, LogLimits
from tollgate.projector.commands import add_operator_commands
from tollgate.projector.live.active_model import ActiveModel, Model, usable_snapshot
from tollgate.projector.live.files import LockedError, ModelFiles, discard, locked
from tollgate.projector.live.follower import Observer
from tollgate.projector.live.open_snapshot import OpenSnapshot
from tollgate.projector.live.snapshots import Snapshots
from tollgate.projector.live.store import DamagedModelError, OtherLogError, Store, UnusableFileError
from tollgate.projector.metrics import ProjectorMetrics
from tollgate.projector.read.archive_watch import ArchiveWatch
from tollgate.projector.read.inspection import Inspection
from tollgate.projector.rebuild.builder import build
from tollgate.projector.rebuild.command import rebuild
from tollgate.projector.rebuild.progress_report import ProgressReport
from tollgate.projector.service import QuestionService
from tollgate.projector.settings import Settings
from tollgate.projector.standby.standby import Standby
from tollgate.projector.standby.turn import Turn
from tollgate.projector.traced import ProjectionSpans
from tollgate.projector.verify.last_verification import VerificationRecord
from tollgate.runtime.cli import Group
from tollgate.runtime.errors import BrokerError, FatalError, LogChangedError
from tollgate.runtime.heartbeat import beat
from tollgate.runtime.id_filter import BYTES_IN_MB
from tollgate.runtime.log_fields import about
from tollgate.runtime.metrics import new_registry, serve_metrics, statistics_of
from tollgate.runtime.process import run as run_process
from tollgate.runtime.process import run_together
from tollgate.runtime.tracing import traces_of

logger = logging.getLogger(__name__)

HEALTH_BUCKET_TIMEOUT_SECONDS = 5.0
CLOCK_LINE = "only reported ages are corrected by it"


@click.group(cls=Group)
def main() -> None:
    """Builds the read model from the log and serves queries on it."""


add_operator_commands(main)


@main.command()
def run() -> None:
    """Follows the log until stopped. Settings come from the environment (see docs/reference/settings.md)."""
    run_process(serve, Settings, program="projector", instance=lambda _: _name())


def _name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


async def serve(settings: Settings) -> None:
    """Wires the parts together and runs them until cancelled."""
    async with Broker(settings.nats_url, name="projector", ca_file=settings.nats_ca_file) as broker:
        limits = LogLimits(settings.log_duplicate_window_seconds, settings.log_bytes_max, settings.log_replicas)
        await Log(broker).ensure(limits)
        await _ensure_health_bucket(broker, limits)
        state = await broker.log_state(timeout_seconds=30)
        files = settings.model_files
        turn = Turn(has_standby=settings.projector_standby)
        with _sole_owner(files):
            files.note_owner(turn.instance)
            files.sweep()
            traces = traces_of(settings, program="projector", instance=turn.instance, now_us=broker.clock.now_us)
            registry = new_registry("projector")
            metrics = ProjectorMetrics(registry)
            observer: Observer = metrics if traces is None else ProjectionSpans(traces, metrics)
            model = await _open_model(broker, files, state, settings, observer)
            active_model = ActiveModel(broker, files, state.identity, model)
            snapshots = Snapshots(settings.snapshots_path)
            snapshots.clear()
            metrics.watch(active_model, broker.clock)
            metrics.watch_turn(turn)
            archive = ArchiveWatch(settings.archive_dir, active_model)
            metrics.watch_archive(archive)
            verification = VerificationRecord(files.folder)
            metrics.watch_verification(verification)
            service = QuestionService(
                broker,
                active_model,
                Inspection(
                    *(snapshots, files, broker.clock),
                    log_identity=state.identity,
                    archive=archive,
                ),
                metrics,
                settle_seconds=settings.summary_settle_seconds,
                turn=turn,
                archive_dir=settings.archive_dir,
            )
            is_damaged = False
            try:
                await run_together(
                    service.run(),
                    active_model.run(),
                    archive.run(),
                    verification.run(),
                    Standby(broker, turn, service.is_current).run(),
                    ClockWatch(broker, consequence=CLOCK_LINE, too_far=CLOCK_LINE).run(),
                    _answer_statistics(broker, statistics_of(registry, "projector", turn.name)),
                    serve_metrics(registry, settings, program="projector"),
                    beat(settings.heartbeat_file, lambda: broker.is_connected),
                    *(() if traces is None else (traces.run(),)),
                )
            except LogChangedError as error:
                files.note_change(error.contradiction)
                raise
            except DamagedModelError:
                is_damaged = True
                raise
            finally:
                active_model.model.store.close()
                if is_damaged:
                    # The next start builds it from the log. With the damaged one it would end in the same way.
                    discard(active_model.model.path)


async def _answer_statistics(broker: Broker, statistics: Callable[[], bytes]) -> None:
    async with answering(broker, STATISTICS, statistics):
        await broker.until_closed()


async def _ensure_health_bucket(broker: Broker, limits: LogLimits) -> None:
    """Creates the health bucket for the processors, which may not create it themselves.

    A failure is logged only: processors charge without the bucket.
    """
    try:
        await HealthBucket(broker).ensure(replicas=limits.replicas, timeout_seconds=HEALTH_BUCKET_TIMEOUT_SECONDS)
    except BrokerError as error:
        logger.error("processors will not poll health: %s", error)


async def _open_model(
    broker: Broker, files: ModelFiles, log: LogState, settings: Settings, observer: Observer | None
) -> Model:
    """The read model; an empty one when the file cannot be used: following the log then rebuilds it.

    What of the log is in an archive only is read from there first. Raises FatalError when it is needed and missing.
    """
    path = files.current
    try:
        model = await _known_model(broker, path, log, settings, observer)
    except LogChangedError as error:
        logger.error(
            "%s; rebuilding the read model; the old one is kept as %s",
            *(error.contradiction, files.set_aside),
            extra=about(event="log_changed", reason=error.contradiction),
        )
        files.note_change(error.contradiction)
        files.put_aside(path)
    except (UnusableFileError, DamagedModelError) as error:
        logger.warning("%s: %s; rebuilding it from the log", path, error)
        discard(path)
    else:
        if not await lacks_beginning(broker, model.follower.position, log):
            return model
        model.store.close()
        logger.warning("%s ends before the log begins; rebuilding it from the archive", path)
        await check_complete(broker, settings.archive_dir, log, missing_accepted=settings.log_missing_accepted)
        discard(path)
    if await lacks_beginning(broker, 0, log):
        await _build_from_archive(broker, path, log, settings)
        return await _known_model(broker, path, log, settings, observer)
    return _model(broker, path, Store.open(path, log.identity), log, settings, observer=observer)


async def _build_from_archive(broker: Broker, path: Path, log: LogState, settings: Settings) -> None:
    """Builds the read model from archive and stream. Raises FatalError."""
    async with Broker(settings.nats_url, name="projector", ca_file=settings.nats_ca_file) as reading:
        await check_complete(reading, settings.archive_dir, log, missing_accepted=settings.log_missing_accepted)
        accepted = settings.log_missing_accepted
        archive = (await whole_log(reading, settings.archive_dir, missing_accepted=accepted)).archive
        logger.warning(
            "the log begins at %d; earlier messages are read from %s",
            *(log.first_sequence, settings.archive_dir or "nowhere: LOG_MISSING_ACCEPTED"),
        )
        progress = ProgressReport(log.last_sequence)
        # On this connection, because `reading` delivers the log.
        async with progress.published(broker):
            await build(
                *(reading, path, log.identity, progress.on_progress),
                missing_accepted=settings.log_missing_accepted,
                archive=archive,
                filter_bytes=settings.known_ids_filter_mb * BYTES_IN_MB,
            )


async def _known_model(
    broker: Broker, path: Path, log: LogState, settings: Settings, observer: Observer | None
) -> Model:
    """Opens the read model file. Raises LogChangedError when it was built from another log, and UnusableFileError."""
    try:
        store = Store.open(path, log.identity)
    except OtherLogError:
        raise LogChangedError("the log was replaced by another") from None
    try:
        snapshot = await usable_snapshot(broker, path, store, log.identity)
        model = _model(broker, path, store, log, settings, observer=observer, snapshot=snapshot)
        await model.watch.look(timeout_seconds=30)
    except BaseException:
        store.close()
        raise
    return model


def _model(
    broker: Broker,
    path: Path,
    store: Store,
    log: LogState,
    settings: Settings,
    *,
    observer: Observer | None,
    snapshot: OpenSnapshot | None = None,
) -> Model:
    return Model(
        *(broker, path, store, log.identity),
        missing_accepted=settings.log_missing_accepted,
        snapshot=snapshot,
        filter_bytes=settings.known_ids_filter_mb * BYTES_IN_MB,
        observer=observer,
    )


@contextmanager
def _sole_owner(files: ModelFiles) -> Iterator[None]:
    """Holds the lock on the read model. Raises FatalError when another projector has it open."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(files.lock))
        except LockedError:
            raise FatalError(f"another projector owns {files.current}") from None
        yield


main.add_command(rebuild)
