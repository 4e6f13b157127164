"""The payments that have not ended, as of a position, in a file beside the read model.

A start reads the log from there, not from the oldest request that has not ended: one old doubt would make it read
everything since. The file is never needed: whenever it is in doubt, the start reads more (docs/decisions/0040).
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tollgate.contract.events import PaymentRouted
from tollgate.contract.log_mark import LogMark
from tollgate.contract.payment_state import Open, PaymentState, Unrouted
from tollgate.projector.live.files import open_snapshot_of
from tollgate.projector.live.projection import OpenPayment
from tollgate.projector.live.store import Checkpoint
from tollgate.runtime.durable_files import sync_folder

logger = logging.getLogger(__name__)

FORMAT = 1
SNAPSHOT_MESSAGES_MIN = 10_000
"""A snapshot is written after so many messages since the last one and since the oldest open request, or as many as
there are open payments, if those are more. So a payment costs at most one line of a snapshot, and none while all open
ones are young."""
SNAPSHOT_PAYMENTS_MAX = 100_000
"""With more open payments none is written, and a start reads the log from the last one on, or from the oldest open
request. It bounds the file to some 40 MB, and the pause for writing it to about a second."""


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """The payments that have not ended at the mark's sequence, oldest request first."""

    mark: LogMark
    open: Mapping[str, OpenPayment]


class SnapshotWriter:
    """Writes the snapshots beside one read model; `last` is the position of the one that is there, 0 if none is."""

    def __init__(self, model_path: Path, log_identity: str, last: int, *, messages_min: int) -> None:
        self._model_path = model_path
        self._log_identity = log_identity
        self._last = last
        self._messages_min = messages_min

    def write_if_due(self, checkpoint: Checkpoint, open_payments: Mapping[str, OpenPayment]) -> None:
        """Writes the payments that are open at the checkpoint, which is in the read model already. Blocks."""
        since = checkpoint.position - max(self._last, checkpoint.replay_from - 1)
        is_due = since >= max(self._messages_min, len(open_payments)) and len(open_payments) <= SNAPSHOT_PAYMENTS_MAX
        if checkpoint.stored_at_us is None or not is_due:
            return
        self._last = checkpoint.position
        try:
            write(self._model_path, OpenSnapshot(checkpoint.mark(self._log_identity), open_payments))
        except OSError as error:
            logger.warning("no snapshot of the open payments, so a start would read more of the log: %s", error)


def write(model_path: Path, snapshot: OpenSnapshot) -> None:
    """Replaces the snapshot beside the read model, durably. Raises OSError."""
    path = open_snapshot_of(model_path)
    made = path.with_name(path.name + ".new")
    digest = hashlib.blake2b()
    with made.open("wb") as file:
        for line in _lines(snapshot):
            digest.update(line)
            file.write(line)
        file.write(digest.hexdigest().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
    sync_folder(path.parent)


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


def _lines(snapshot: OpenSnapshot) -> Iterator[bytes]:
    mark = snapshot.mark
    header = {
        "format": FORMAT,
        "log_identity": mark.identity,
        "position": mark.sequence,
        "stored_at_us": mark.stored_at_us,
        "payments": len(snapshot.open),
    }
    yield orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE)
    for correlation_id, payment in snapshot.open.items():
        yield orjson.dumps([correlation_id, payment], option=orjson.OPT_APPEND_NEWLINE)


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
