"""The projector's filter of all ids that were requested, from which gateways start (contract/known_filter.py).

It is kept up with the log, and saved beside the read model so that a start adds only what has ended since: open
payments are read from the log again in any case.
"""

import asyncio
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import orjson

from tollgate.runtime.errors import FatalError
from tollgate.runtime.id_filter import IdFilter

logger = logging.getLogger(__name__)

FORMAT = 1
SAVE_AFTER_IDS = 200_000
"""A start after a kill adds at most about so many ids."""
SAVE_SECONDS = 10.0
"""Between two checks whether enough ids are unsaved."""

IdsAfter = Callable[[int], Iterator[Sequence[str]]]
"""The ids of the payments that ended after a position, in lists of bounded length."""


class KnownFilter:
    """Used by the event loop only, but for reading and writing its file.

    Not whole until `run` has added the payments that ended before the read model was opened at `position`.
    """

    def __init__(self, path: Path, log_identity: str, size_bytes: int, position: int, purged_at: int) -> None:
        self._path = path
        self._log_identity = log_identity
        self._opened_at = position
        self._purged_at = purged_at
        self._ids = IdFilter(size_bytes)
        self._unsaved = 0
        self.generation = uuid4().hex
        self.is_whole = False

    @property
    def size_bytes(self) -> int:
        return self._ids.size_bytes

    async def run(self, ids_after: IdsAfter, position: Callable[[], int]) -> None:
        """Adds what had ended before the start, then saves the filter now and then, until cancelled.

        `position` is how far the log has been applied.
        """
        loop = asyncio.get_running_loop()
        generation = self.generation
        stopped: list[bool] = []
        filling = loop.run_in_executor(None, self._filled, ids_after, stopped)
        try:
            ended, added = await asyncio.shield(filling)
        except FatalError as error:
            logger.error("there will be no filter of ids, and gateways that start read the log: %s", error)
            return
        except asyncio.CancelledError:
            stopped.append(True)
            await asyncio.wait((filling,))
            raise
        if generation == self.generation:
            self._ids.merge(0, ended.part(0, ended.size_bytes))
        self.is_whole = True
        # Saved as soon as it is worth it: otherwise each start after a kill would add all of them again.
        self._unsaved += added
        try:
            while True:
                await asyncio.sleep(SAVE_SECONDS)
                if self._unsaved >= SAVE_AFTER_IDS:
                    await loop.run_in_executor(None, self._save, *self._content(position()))
        finally:
            self._save(*self._content(position()))

    def add(self, correlation_id: str) -> None:
        self._ids.add(correlation_id)
        self._unsaved += 1

    def clear(self) -> None:
        """Drops all ids, because of a purge."""
        self._ids.clear()
        self.generation = uuid4().hex

    def part(self, begin: int, length: int) -> bytes:
        return self._ids.part(begin, length)

    def _content(self, position: int) -> tuple[int, bytes]:
        self._unsaved = 0
        return position, self._ids.part(0, self._ids.size_bytes)

    def _filled(self, ids_after: IdsAfter, stopped: Sequence[bool]) -> tuple[IdFilter, int]:
        """A filter with the saved ids and those of the payments that have ended since, and how many those are."""
        ids, added = IdFilter(self._ids.size_bytes), 0
        position = self._load(ids)
        for some in ids_after(position):
            for one in some:
                ids.add(one)
            added += len(some)
            if stopped:
                break
        return ids, added

    def _load(self, ids: IdFilter) -> int:
        """The position of the saved filter; 0 when there is none that can be used."""
        try:
            head, _, bits = self._path.read_bytes().partition(b"\n")
            position = int(orjson.loads(head)["position"])
            is_ours = head == _head(self._log_identity, position, bits) and len(bits) == ids.size_bytes
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be used (%s); making it from the read model", self._path.name, error)
            return 0
        if not is_ours or not self._purged_at <= position <= self._opened_at:
            logger.warning("%s is damaged or of another state; making it from the read model", self._path.name)
            return 0
        ids.merge(0, bits)
        return position

    def _save(self, position: int, bits: bytes) -> None:
        save(self._path, self._log_identity, position, bits)


def save(path: Path, log_identity: str, position: int, bits: bytes) -> None:
    """Replaces the file. It is not synced: a torn one does not match its checksum. A failure is logged."""
    made = path.with_name(path.name + ".new")
    try:
        made.write_bytes(_head(log_identity, position, bits) + b"\n" + bits)
        made.replace(path)
    except OSError as error:
        logger.warning("%s cannot be written: %s", path.name, error)


def _head(log_identity: str, position: int, bits: bytes) -> bytes:
    return orjson.dumps({"format": FORMAT, "log": log_identity, "position": position, "crc32": zlib.crc32(bits)})
