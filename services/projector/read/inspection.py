"""Operator requests to a running projector: its status, and a copy of its file."""

import asyncio
import time
from pathlib import Path

from tollgate.contract.read_model_api import OpenPayment, Snapshot, Status, encode_snapshot, encode_status
from tollgate.contract.timestamps import now_us
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.projector.live.active_model import Model
from tollgate.projector.live.files import ModelFiles, discard, wal_of
from tollgate.projector.live.follower import Follower
from tollgate.projector.live.projection import Projection
from tollgate.projector.live.snapshots import Snapshots, TooManySnapshotsError
from tollgate.projector.read.archive_watch import ArchiveWatch
from tollgate.runtime.errors import TollgateError


class CannotAnswerError(TollgateError):
    """The query cannot be answered now; the text states why."""


class Inspection:
    """Status and copies of read models of the log with this identity; its uptime begins here."""

    def __init__(
        self,
        snapshots: Snapshots,
        files: ModelFiles,
        clock: BrokerClock,
        *,
        log_identity: str,
        archive: ArchiveWatch,
    ) -> None:
        self._archive = archive
        self._snapshots = snapshots
        self._files = files
        self._clock = clock
        self._log_identity = log_identity
        self._started_at_us = now_us()

    async def status(self, model: Model) -> bytes:
        """The status now. It does not wait for the log's end, so that a projector that is behind can report its lag."""
        store, follower = model.store, model.follower
        projection = follower.projection
        payments = projection.open
        attempts = list(projection.open_attempts.values())
        in_doubt = sum(1 for one in attempts if one.in_doubt)
        oldest = open_payment(projection, next(iter(payments), None))
        oldest_chargeable, oldest_doubt_us = oldest_chargeable_of(projection), projection.oldest_doubt_us()
        position, pending = follower.position, len(payments) - len(attempts)
        settled, rejected = await asyncio.to_thread(store.rows)
        archive = await asyncio.to_thread(self._archive.view, model)
        faults = [await asyncio.to_thread(model.log_fault), self._files.change(), archive.fault]
        path = store.path
        return encode_status(
            Status(
                position=position,
                log_identity=self._log_identity,
                settled=settled,
                rejected=rejected,
                pending=pending,
                routed=len(attempts) - in_doubt,
                in_doubt=in_doubt,
                oldest_open=oldest,
                poison_events=follower.poison_events,
                file_bytes=file_bytes(path),
                committed_position=store.checkpoint.position,
                committed_at_us=changed_at_us(path),
                started_at_us=self._started_at_us,
                log_fault="; ".join(fault for fault in faults if fault is not None) or None,
                oldest_chargeable=oldest_chargeable,
                oldest_doubt_us=oldest_doubt_us,
                still_seconds=time.monotonic() - follower.moved_at,
                clock=self._clock.offset(),
                archive=archive.end,
            )
        )

    async def snapshot(self, follower: Follower) -> bytes:
        """Copies the file. Raises CannotAnswerError."""
        try:
            path = self._snapshots.new_path()
            try:
                position = await follower.copy_to(path)
            except BaseException:
                discard(path)
                raise
        except TooManySnapshotsError as error:
            raise CannotAnswerError(str(error)) from None
        except OSError as error:
            raise CannotAnswerError(f"the read model cannot be copied: {error.strerror}") from None
        return encode_snapshot(Snapshot(path.name, position))


def oldest_chargeable_of(projection: Projection) -> OpenPayment | None:
    """The oldest payment that has not ended and is not in doubt; None if there is none."""
    return open_payment(projection, projection.oldest_chargeable())


def open_payment(projection: Projection, correlation_id: str | None) -> OpenPayment | None:
    """What a status reports of an open payment."""
    if correlation_id is None:
        return None
    payment = projection.open[correlation_id]
    return OpenPayment(correlation_id, payment.accepted_at_us, payment.stored_at_us, payment.sequences[0])


def file_bytes(path: Path) -> int:
    """The size of a read model with its write-ahead log."""
    return sum(one.stat().st_size for one in (path, wal_of(path)) if one.exists())


def changed_at_us(path: Path) -> int:
    """When a read model was last written."""
    return max(one.stat().st_mtime_ns // 1000 for one in (path, wal_of(path)) if one.exists())
