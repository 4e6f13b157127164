"""Owns the active read model, and replaces it by a rebuilt one while queries are being served."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb

from tollgate.messaging.connection import Broker
from tollgate.messaging.history import message_at
from tollgate.messaging.log_watch import LogWatch
from tollgate.projector.live import open_snapshot
from tollgate.projector.live.files import ModelFiles, discard, filter_of
from tollgate.projector.live.follower import Follower, Observer
from tollgate.projector.live.known_filter import KnownFilter
from tollgate.projector.live.open_snapshot import SNAPSHOT_MESSAGES_MIN, OpenSnapshot, SnapshotWriter
from tollgate.projector.live.store import Store, UnusableFileError, check_damage
from tollgate.projector.verify.comparison import Comparison, NotComparableError, compare
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.id_filter import BYTES_IN_MB
from tollgate.runtime.tasks import end

logger = logging.getLogger(__name__)

SNAPSHOT_CHECK_SECONDS_MAX = 30.0
CATCH_UP_SECONDS_MAX = 120.0
"""How long a rebuilt read model may take to read the messages stored since it was built."""


class Model:
    """A read model that follows the log, with a count of the queries that use it.

    Up to `missing_accepted` missing messages of the log are not reported as a fault.
    """

    def __init__(
        self,
        broker: Broker,
        path: Path,
        store: Store,
        log_identity: str,
        *,
        missing_accepted: int = 0,
        snapshot: OpenSnapshot | None = None,
        snapshot_messages_min: int = SNAPSHOT_MESSAGES_MIN,
        filter_bytes: int = 4 * BYTES_IN_MB,
        observer: Observer | None = None,
    ) -> None:
        self.path = path
        self.store = store
        self.missing_accepted = missing_accepted
        self.watch = LogWatch(broker, store.checkpoint.mark(log_identity), missing_accepted=missing_accepted)
        last = 0 if snapshot is None else snapshot.mark.sequence
        snapshots = SnapshotWriter(path, log_identity, last, messages_min=snapshot_messages_min)
        self.filter_bytes = filter_bytes
        known_filter = KnownFilter(
            *(filter_of(path), log_identity, filter_bytes), store.checkpoint.position, store.purged_at()
        )
        self.observer = observer
        self.follower = Follower(
            *(broker, store, self.watch, snapshots),
            known_filter=known_filter,
            snapshot=snapshot,
            observer=observer,
        )
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keeps the store open until the context is left."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def unused(self) -> None:
        """Waits until no query uses it."""
        await self._unused.wait()

    def log_fault(self) -> str | None:
        """Describes what of the log is missing or unreadable; None if nothing. Blocks for a query on the store."""
        unread, first = self.store.unread()
        if unread > self.missing_accepted:
            return f"the log is damaged: {unread} messages could not be read, the first at {first}"
        return self.watch.fault


async def usable_snapshot(broker: Broker, path: Path, store: Store, log_identity: str) -> OpenSnapshot | None:
    """The open payments beside the read model; None if there are none that belong to it and to this log.

    Raises BrokerError.
    """
    snapshot = open_snapshot.read(path, log_identity, store.checkpoint.position)
    if snapshot is None:
        return None
    log = await broker.log_state(timeout_seconds=SNAPSHOT_CHECK_SECONDS_MAX)
    if not snapshot.mark.is_held_by(log):
        # It was purged or archived. The mark of the read model itself is compared as well.
        return snapshot
    message = await message_at(broker, snapshot.mark.sequence)
    if message is None or snapshot.mark.contradiction(log, message.stored_at_us) is not None:
        logger.warning("the open payments beside %s are of another log, so more of this one is read", path)
        return None
    return snapshot


class ActiveModel:
    """The owner of the read model's files and of the task that follows the log into the active one."""

    def __init__(self, broker: Broker, files: ModelFiles, log_identity: str, model: Model) -> None:
        self._broker = broker
        self._files = files
        self._log_identity = log_identity
        self._following: asyncio.Future[None] | None = None
        self._adopting = asyncio.Lock()
        self.model = model

    async def run(self) -> None:
        """Follows the log until cancelled. Raises the follower's error when it fails."""
        try:
            while True:
                self._following = following = self._following or asyncio.ensure_future(self.model.follower.run())
                await asyncio.wait((following,))
                # The task ends without an error only when a rebuilt read model has replaced this one.
                if following is self._following:
                    following.result()
        finally:
            if self._following is not None:
                await end(self._following)

    async def adopt(self, *, accepts_differences: bool) -> Comparison:
        """Compares the rebuilt read model with the live one, and replaces the live one by it.

        When they differ and differences are not accepted, nothing changes. Raises NotComparableError; then, too,
        nothing has changed.
        """
        async with self._adopting:
            found = await asyncio.get_running_loop().run_in_executor(None, self._compare)
            if found.differences and not accepts_differences:
                return found
            await self._change_over(self._files.take_rebuilt())
            return found

    def _compare(self) -> Comparison:
        with closing(self.model.store.cursor()) as cursor:
            try:
                return compare(cursor, self._files.rebuild, self._log_identity)
            except duckdb.Error as error:
                check_damage(error)
                raise

    async def _change_over(self, path: Path) -> None:
        try:
            store = Store.open(path, self._log_identity)
        except UnusableFileError as error:
            discard(path)
            raise NotComparableError(f"the rebuilt file {error}") from error
        try:
            replacement = Model(
                self._broker,
                path,
                store,
                self._log_identity,
                missing_accepted=self.model.missing_accepted,
                filter_bytes=self.model.filter_bytes,
                observer=self.model.observer,
                snapshot=await usable_snapshot(self._broker, path, store, self._log_identity),
            )
        except BrokerError as error:
            store.close()
            discard(path)
            raise NotComparableError(f"the log cannot be read: {error}") from error
        following = asyncio.ensure_future(replacement.follower.run())
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
                # The new read model must not answer from an earlier position than the old one has answered from.
                while replacement.follower.position < (position := self.model.follower.position):
                    await _either(following, replacement.follower.reached(position))
            self._files.make_current(path)
        except BaseException as error:
            await end(following)
            replacement.store.close()
            if not isinstance(error, TimeoutError):
                raise
            discard(path)
            raise NotComparableError(f"it did not catch up with the log in {CATCH_UP_SECONDS_MAX:.0f} s") from None
        await self._retire(replacement, following)

    async def _retire(self, replacement: Model, following: asyncio.Future[None]) -> None:
        retired, old_following = self.model, self._following
        self.model, self._following = replacement, following
        logger.info("the read model is now %s", replacement.path.name)
        await retired.unused()
        if old_following is not None:
            await end(old_following)
        retired.store.close()
        discard(retired.path)


async def _either(task: asyncio.Future[None], step: object) -> None:
    """Waits for the step. Raises the task's error when the task ends first."""
    stepping = asyncio.ensure_future(step)  # type: ignore[call-overload]
    try:
        await asyncio.wait((task, stepping), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        await end(stepping)
