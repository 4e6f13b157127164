"""The metrics of a projector: its lag, and the payments that have not ended."""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tollgate.archive.last_run import LastRun
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.projector.live.active_model import ActiveModel, Model
from tollgate.projector.live.projection import Change, Projection
from tollgate.projector.read.archive_watch import ArchiveWatch
from tollgate.projector.read.inspection import file_bytes, oldest_chargeable_of
from tollgate.projector.standby.turn import Turn
from tollgate.projector.verify.last_verification import LastVerification, VerificationRecord
from tollgate.runtime.metrics import SECONDS_BUCKETS, clock_gauge, watch, watch_clock

T = TypeVar("T")
QUESTIONS = ("summary", "payment", "known", "known_filter", "charging", "status", "snapshot", "adopt")


class ProjectorMetrics:
    """States are read from the active model whenever somebody asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clock_offset = clock_gauge(registry)
        seconds = Histogram(
            "tollgate_question_duration_seconds",
            "From the arrival of a question to its answer, waiting for the log's end included.",
            ["question"],
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self._seconds = {name: seconds.labels(name) for name in QUESTIONS}
        refused = Counter(
            "tollgate_questions_refused", "Questions answered with an error.", ["question"], registry=registry
        )
        self._refused = {name: refused.labels(name) for name in QUESTIONS}
        opened = Gauge(
            "tollgate_payments_open", "Payments that have not ended, by state.", ["state"], registry=registry
        )
        self._open = {name: opened.labels(name) for name in _STATES}
        of_all = (*_OF_MODEL.items(), *_AGES.items(), *_OF_ARCHIVE.items(), *_OF_VERIFICATION.items())
        described = [(name, what) for name, (what, _) in of_all]
        self._active = Gauge(
            "tollgate_projector_active",
            "1 if this projector answers questions, 0 if it only follows the log.",
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "tollgate_commit_duration_seconds",
            "From the beginning of a commit of the read model to its end on the disk.",
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self._states = {name: Gauge(name, what, registry=registry) for name, what in described}

    def answered(self, question: str, seconds: float, *, is_refused: bool) -> None:
        """A question was answered; `question` is one of QUESTIONS."""
        self._seconds[question].observe(seconds)
        if is_refused:
            self._refused[question].inc()

    def applied(self, _change: Change, _stored_at_us: int) -> None:
        """A change of the rows; only commits are measured."""

    def committed(self, seconds: float) -> None:
        """A commit took so long."""
        self._commit_seconds.observe(seconds)

    def watch_turn(self, turn: Turn) -> None:
        """Reads from it whether this projector answers questions."""
        watch(self._active, lambda: turn.is_mine)

    def watch_archive(self, archive: ArchiveWatch) -> None:
        """Reads from it what is archived, and what the last run came to."""
        for name, (_, of_archive) in _OF_ARCHIVE.items():
            watch(self._states[name], partial(of_archive, archive))

    def watch_verification(self, record: VerificationRecord) -> None:
        """Reads from it what `projector verify` found last."""
        for name, (_, of_record) in _OF_VERIFICATION.items():
            watch(self._states[name], partial(_of_seen, of_record, record))

    def watch(self, active_model: ActiveModel, clock: BrokerClock) -> None:
        """Reads the states from these whenever somebody asks."""

        def model() -> Model:
            return active_model.model

        def projection() -> Projection:
            return model().follower.projection

        for name, count in _STATES.items():
            watch(self._open[name], partial(_read, count, projection))
        for name, (_, of_model) in _OF_MODEL.items():
            watch(self._states[name], partial(_read, of_model, model))
        for name, (_, since) in _AGES.items():
            watch(self._states[name], partial(_age, since, projection, clock))
        watch_clock(self.clock_offset, clock.offset)


def _read(read: Callable[[T], float | None], of: Callable[[], T]) -> float | None:
    return read(of())


def _of_seen(read: Callable[[LastVerification], float], record: VerificationRecord) -> float | None:
    return None if record.seen is None else read(record.seen)


def _age(since: Callable[[Projection], int | None], projection: Callable[[], Projection], clock: BrokerClock) -> float:
    moment_us = since(projection())
    return 0.0 if moment_us is None else max(clock.now_us() - moment_us, 0) / MICROSECONDS


def _chargeable_since(projection: Projection) -> int | None:
    oldest = oldest_chargeable_of(projection)
    return None if oldest is None else oldest.stored_at_us


def _in_doubt(projection: Projection) -> int:
    return sum(1 for one in projection.open_attempts.values() if one.in_doubt)


def _log_end(model: Model) -> int:
    mark = model.watch.mark
    return model.follower.position if mark is None else max(mark.sequence, mark.end, model.follower.position)


def _lag_seconds(model: Model) -> float:
    """How long the position has not moved although the log is longer; 0 at its end."""
    if _log_end(model) <= model.follower.position:
        return 0.0
    return time.monotonic() - model.follower.moved_at


def _bytes_left(model: Model) -> float | None:
    log = model.watch.log
    return None if log is None or log.bytes_max < 0 else log.bytes_max - log.stored_bytes


def _succeeded_at(run: LastRun | None) -> float | None:
    return None if run is None or run.succeeded_at_us is None else run.succeeded_at_us / MICROSECONDS


_STATES: dict[str, Callable[[Projection], float | None]] = {
    "pending": lambda projection: len(projection.open) - len(projection.open_attempts),
    "routed": lambda projection: len(projection.open_attempts) - _in_doubt(projection),
    "in_doubt": _in_doubt,
}
_AGES: dict[str, tuple[str, Callable[[Projection], int | None]]] = {
    "tollgate_oldest_chargeable_age_seconds": (
        "The age of the oldest payment that has not ended and is not in doubt; 0 if there is none.",
        _chargeable_since,
    ),
    "tollgate_oldest_doubt_age_seconds": (
        "Since when the oldest doubt has lasted; 0 if there is none.",
        lambda projection: projection.oldest_doubt_us(),
    ),
}
_OF_MODEL: dict[str, tuple[str, Callable[[Model], float | None]]] = {
    "tollgate_read_model_position": (
        "The sequence up to which the read model holds the log.",
        lambda model: model.follower.position,
    ),
    "tollgate_read_model_committed_position": (
        "The sequence up to which its file holds the log.",
        lambda model: model.store.checkpoint.position,
    ),
    "tollgate_read_model_lag_messages": (
        "Messages of the log that the read model does not hold yet.",
        lambda model: _log_end(model) - model.follower.position,
    ),
    "tollgate_read_model_lag_seconds": (
        "How long the read model has stood still although the log is longer.",
        _lag_seconds,
    ),
    "tollgate_read_model_file_bytes": (
        "The size of the read model's file with its write-ahead log.",
        lambda model: file_bytes(model.store.path),
    ),
    "tollgate_log_last_sequence": ("The log's last sequence, as of the last look.", _log_end),
    "tollgate_log_bytes": (
        "The size of the log at the broker.",
        lambda model: None if model.watch.log is None else model.watch.log.stored_bytes,
    ),
    "tollgate_log_left_bytes": ("How much the log may still grow; not a number without a limit.", _bytes_left),
    "tollgate_log_damaged": (
        "1 if messages are missing from the log.",
        lambda model: model.watch.fault is not None,
    ),
    "tollgate_set_aside_messages": (
        "Messages since the start that are not valid, and were set aside.",
        lambda model: model.follower.poison_events,
    ),
}
_OF_ARCHIVE: dict[str, tuple[str, Callable[[ArchiveWatch], float | None]]] = {
    "tollgate_archive_fault": (
        "1 if the archive cannot be read, is of another log, or lacks messages that have left the stream.",
        lambda archive: archive.seen.fault is not None,
    ),
    "tollgate_archive_last_sequence": (
        "The last archived sequence; 0 while nothing is archived.",
        lambda archive: 0 if archive.seen.end is None else archive.seen.end.last_sequence,
    ),
    "tollgate_archive_last_run_failed": (
        "1 if the last run of `tollgate archive` failed; not a number before the first one.",
        lambda archive: None if archive.last_run is None else archive.last_run.error is not None,
    ),
    "tollgate_archive_last_success_timestamp_seconds": (
        "When `tollgate archive` last succeeded; not a number before that.",
        lambda archive: _succeeded_at(archive.last_run),
    ),
    "tollgate_archive_interval_seconds": (
        "How often `tollgate archive` runs (`--every`); not a number if the last run was a single one.",
        lambda archive: None if archive.last_run is None else archive.last_run.interval_seconds,
    ),
}
_OF_VERIFICATION: dict[str, tuple[str, Callable[[LastVerification], float]]] = {
    "tollgate_verification_differences": (
        "Differences between log, read model and providers that the last `projector verify` found.",
        lambda found: found.differences,
    ),
    "tollgate_verification_timestamp_seconds": (
        "When the last `projector verify` ended; not a number before the first one.",
        lambda found: found.ended_at_us / MICROSECONDS,
    ),
}
