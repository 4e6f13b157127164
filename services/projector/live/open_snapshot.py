"""The payments that have not ended, as of a position, in a file beside the read model.

A start reads the log from there, not from the oldest request that has not ended: one old doubt would make it read
everything since. The file is never needed: whenever it is in doubt, the start reads more (docs/decisions/0040).

While the projector runs, the file is written in small parts, between which payments change: `SnapshotLines` keeps them
as they were.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tollgate.contract.events import PaymentRouted
from tollgate.contract.log_mark import LogMark
from tollgate.contract.payment_state import Open, PaymentState, Unrouted
from tollgate.projector.live.files import open_snapshot_of, unfinished_snapshot_of
from tollgate.projector.live.projection import OpenPayment
from tollgate.projector.live.store import Checkpoint
from tollgate.runtime.durable_files import sync_folder

logger = logging.getLogger(__name__)

FORMAT = 1
SNAPSHOT_MESSAGES_MIN = 10_000
"""A snapshot is written after so many messages since the last one and since the oldest open request, or as many as
there are open payments, if those are more. So a payment costs at most one line of a snapshot, and none while all open
ones are young."""
SNAPSHOT_PAYMENTS_MAX = 2_000_000
"""With more open payments none is written, and a start reads the log from the last one on, or from the oldest open
request. It bounds the file to some 450 MB."""
PART_PAYMENTS = 1_000
"""Payments that are written together: 2 to 3 ms of the event loop."""
PART_PAUSE_SECONDS = 0.01
"""Between two parts. A million payments take some 15 s."""
KEPT_MAX = 100_000
"""Payments that may change before they are written, some 25 MB; with more the snapshot is given up."""
SYNCED_BYTES = 8_000_000
"""The file is synced each time so much was written: one sync of hundreds of MB would delay the broker's syncs."""


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """The payments that have not ended at the mark's sequence, oldest request first."""

    mark: LogMark
    open: Mapping[str, OpenPayment]


class SnapshotLines:
    """The lines of a snapshot, some at a time, as of its mark, while the payments change. Pure.

    `keep` has to be called before a payment of `snapshot.open` changes or is removed.
    """

    def __init__(self, snapshot: OpenSnapshot) -> None:
        self._sequence = snapshot.mark.sequence
        self._open = snapshot.open
        self._left = list(snapshot.open)
        # Taken from the end, so that a million names are not freed at once.
        self._left.reverse()
        self._written_to = 0
        """No payment whose request is before this sequence is still to be written."""
        self._kept: dict[str, bytes] = {}
        self.header = _header(snapshot.mark, len(snapshot.open))

    def keep(self, correlation_id: str, payment: OpenPayment) -> None:
        """Keeps the payment as it is, if it is still to be written."""
        if self._written_to <= payment.sequences[0] <= self._sequence and correlation_id not in self._kept:
            self._kept[correlation_id] = _line(correlation_id, payment)

    @property
    def kept(self) -> int:
        return len(self._kept)

    def some(self, count: int) -> bytes:
        """The lines of the next `count` payments; empty when there are no more."""
        lines = []
        for _ in range(min(count, len(self._left))):
            correlation_id = self._left.pop()
            if (line := self._kept.pop(correlation_id, None)) is None:
                payment = self._open[correlation_id]
                self._written_to, line = payment.sequences[0], _line(correlation_id, payment)
            lines.append(line)
        return b"".join(lines)


class SnapshotWriter:
    """Writes the snapshots beside one read model; `last` is the position of the one that is there, 0 if none is."""

    def __init__(self, model_path: Path, log_identity: str, last: int, *, messages_min: int) -> None:
        self._model_path = model_path
        self._log_identity = log_identity
        self._last = last
        self._messages_min = messages_min
        self._lines: SnapshotLines | None = None
        self._begun = asyncio.Event()

    def write_if_due(self, checkpoint: Checkpoint, open_payments: Mapping[str, OpenPayment]) -> None:
        """Writes the payments that are open at the checkpoint, which is in the read model already. Blocks."""
        if not self._is_due(checkpoint, open_payments):
            return
        self._last = checkpoint.position
        try:
            write(self._model_path, OpenSnapshot(checkpoint.mark(self._log_identity), open_payments))
        except OSError as error:
            _log_failed(error)

    def begin_if_due(self, checkpoint: Checkpoint, open_payments: Mapping[str, OpenPayment]) -> None:
        """Begins to write what `write_if_due` would; `run` goes on with it. `keep` has to be called meanwhile."""
        if self._lines is not None or not self._is_due(checkpoint, open_payments):
            return
        self._last = checkpoint.position
        self._lines = SnapshotLines(OpenSnapshot(checkpoint.mark(self._log_identity), open_payments))
        self._begun.set()

    def keep(self, correlation_id: str, payment: OpenPayment) -> None:
        """Call it before an open payment changes or ends."""
        if self._lines is not None:
            self._lines.keep(correlation_id, payment)
            if self._lines.kept > KEPT_MAX:
                self.give_up()

    def give_up(self) -> None:
        """Ends the snapshot that is being written, if there is one: all open payments were purged."""
        self._lines = None

    async def run(self) -> None:
        """Writes the snapshots that are begun, until cancelled."""
        while True:
            await self._begun.wait()
            self._begun.clear()
            try:
                await self._write_begun()
            except OSError as error:
                _log_failed(error)
            finally:
                self._lines = None

    async def _write_begun(self) -> None:
        lines = self._lines
        if lines is None:
            return
        with closing(_File(self._model_path)) as file:
            part = lines.header
            while part:
                await asyncio.to_thread(file.write, part)
                await asyncio.sleep(PART_PAUSE_SECONDS)
                if self._lines is not lines:
                    return
                part = lines.some(PART_PAYMENTS)
            await asyncio.to_thread(file.finish)

    def _is_due(self, checkpoint: Checkpoint, open_payments: Mapping[str, OpenPayment]) -> bool:
        since = checkpoint.position - max(self._last, checkpoint.replay_from - 1)
        return (
            checkpoint.stored_at_us is not None
            and since >= max(self._messages_min, len(open_payments))
            and len(open_payments) <= SNAPSHOT_PAYMENTS_MAX
        )


def write(model_path: Path, snapshot: OpenSnapshot) -> None:
    """Replaces the snapshot beside the read model, durably. Raises OSError."""
    lines = SnapshotLines(snapshot)
    with closing(_File(model_path)) as file:
        part = lines.header
        while part:
            file.write(part)
            part = lines.some(PART_PAYMENTS)
        file.finish()


class _File:
    """A snapshot beside the read model that is being written; it replaces the one before when it is finished."""

    def __init__(self, model_path: Path) -> None:
        self._path = open_snapshot_of(model_path)
        self._made = unfinished_snapshot_of(model_path)
        self._digest = hashlib.blake2b()
        self._file = self._made.open("wb")
        self._unsynced = 0

    def write(self, lines: bytes) -> None:
        self._digest.update(lines)
        self._file.write(lines)
        self._unsynced += len(lines)
        if self._unsynced >= SYNCED_BYTES:
            self._sync()

    def finish(self) -> None:
        self._file.write(self._digest.hexdigest().encode() + b"\n")
        self._sync()
        self._made.replace(self._path)
        sync_folder(self._path.parent)

    def close(self) -> None:
        self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced = 0


def read(model_path: Path, log_identity: str, position: int) -> OpenSnapshot | None:
    """The snapshot beside the read model that is at `position`; None if there is none that belongs to it.

    It has to be whole, of this format, of the log with this identity, and not later than `position`.
    """
    path = open_snapshot_of(model_path)
    try:
        with path.open("rb") as file:
            snapshot = _decode(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("%s is not used, so more of the log is read: %s", path, error)
        return None
    if snapshot.mark.identity != log_identity or snapshot.mark.sequence > position:
        logger.warning("%s is not used, so more of the log is read: it is of another read model", path)
        return None
    return snapshot


def _header(mark: LogMark, payments: int) -> bytes:
    header = {
        "format": FORMAT,
        "log_identity": mark.identity,
        "position": mark.sequence,
        "stored_at_us": mark.stored_at_us,
        "payments": payments,
    }
    return orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE)


def _line(correlation_id: str, payment: OpenPayment) -> bytes:
    return orjson.dumps([correlation_id, payment], option=orjson.OPT_APPEND_NEWLINE)


def _log_failed(error: OSError) -> None:
    logger.warning("no snapshot of the open payments, so a start would read more of the log: %s", error)


def _decode(lines: Iterable[bytes]) -> OpenSnapshot:
    """Raises ValueError, TypeError or KeyError when the file is not as `write` writes it."""
    each = _checked(lines)
    header = orjson.loads(next(each, b""))
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']}, not {FORMAT}")
    found = {correlation_id: _payment(fields) for correlation_id, fields in map(orjson.loads, each)}
    if len(found) != header["payments"]:
        raise ValueError(f"it has {len(found)} payments, not {header['payments']}")
    position = header["position"]
    return OpenSnapshot(LogMark(header["log_identity"], position, header["stored_at_us"], position), found)


def _checked(lines: Iterable[bytes]) -> Iterator[bytes]:
    """All lines but the last, which has to be the digest of the others."""
    digest = hashlib.blake2b()
    previous: bytes | None = None
    for line in lines:
        if previous is not None:
            digest.update(previous)
            yield previous
        previous = line
    if previous != digest.hexdigest().encode() + b"\n":
        raise ValueError("its checksum is wrong")


def _payment(fields: dict[str, Any]) -> OpenPayment:
    return OpenPayment(**{**fields, "payment_state": _payment_state(fields["payment_state"])})


def _payment_state(fields: dict[str, Any]) -> PaymentState:
    if "next_attempt" in fields:
        return Unrouted(**fields)
    return Open(**{**fields, "attempt": PaymentRouted(**fields["attempt"])})
