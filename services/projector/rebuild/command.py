"""`projector rebuild`: builds a new read model from the log, compares it with the live one, and replaces that."""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from tollgate.archive.whole_log import check_complete, whole_log
from tollgate.messaging.connection import Broker
from tollgate.messaging.operator_command import broker_for_command, load_for_command, run_command
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel
from tollgate.projector.live.files import LockedError, ModelFiles, discard, locked
from tollgate.projector.live.store import Store, UnusableFileError
from tollgate.projector.rebuild.builder import Built, build
from tollgate.projector.rebuild.progress_report import ProgressReport
from tollgate.projector.rebuild.store_process import StoreProcess
from tollgate.projector.settings import Settings
from tollgate.projector.verify.comparison import Comparison, NotComparableError, compare
from tollgate.runtime.cli import Command
from tollgate.runtime.errors import BrokerUnavailableError, FatalError
from tollgate.runtime.id_filter import BYTES_IN_MB

ADOPTION_SECONDS_MAX = 600.0
START_SECONDS_MAX = 30.0
"""How long a projector that has the file open may take until it serves queries."""
PLAIN_LINE_SECONDS = 2.0
_POLL_SECONDS = 0.3


@click.command(cls=Command)
@click.option(
    "--accept-differences", is_flag=True, help="Replace the live read model even if the new one differs from it."
)
def rebuild(*, accept_differences: bool) -> None:
    """Builds a new read model beside the live one, and replaces the live one by it.

    A running projector serves summaries meanwhile; without one, the next start uses the new file. A message that is
    not valid is set aside, named and counted, as in the projector. An interrupted rebuild leaves the live read model
    as it was. Exit status: 0 when the new read model is in place, 1 when it is not, 130 when interrupted.
    """
    # Millions of short-lived tuples and no cycles: the search for cycles would take a tenth of the time.
    gc.disable()
    # As the projector does: only the owner may read the file.
    os.umask(0o077)
    with StoreProcess() as process:
        run_command(
            lambda: _rebuild(
                load_for_command(Settings, user="projector"), process, accepts_differences=accept_differences
            )
        )


async def _rebuild(settings: Settings, process: StoreProcess, *, accepts_differences: bool) -> int:
    try:
        await rebuild_model(settings, process, accepts_differences=accepts_differences)
    except asyncio.CancelledError:
        click.echo(
            "interrupted: the read model is unchanged, unless the projector had already changed to the new one",
            err=True,
        )
        raise
    return 0


async def rebuild_model(settings: Settings, process: StoreProcess, *, accepts_differences: bool) -> None:
    """Builds, compares, replaces, and prints the findings. Raises FatalError when the new one is not in place."""
    files = settings.model_files
    try:
        with locked(files.rebuild_lock):
            discard(files.rebuild)
            async with broker_for_command(settings, name="projector") as broker:
                state = await broker.log_state(timeout_seconds=30)
                await check_complete(
                    broker, settings.archive_dir, state, missing_accepted=settings.log_missing_accepted
                )
                accepted = settings.log_missing_accepted
                archive = (await whole_log(broker, settings.archive_dir, missing_accepted=accepted)).archive
                first = min(state.first_sequence, archive.first_sequence or 1) if archive else state.first_sequence
                began = time.monotonic()
                async with broker_for_command(settings, name="projector") as reading:
                    progress = ProgressReport(state.last_sequence - first + 1)
                    async with progress.published(broker):
                        with _progress(state.last_sequence - first + 1) as on_progress:
                            built = await build(
                                *(reading, files.rebuild, state.identity, progress.also(on_progress)),
                                missing_accepted=settings.log_missing_accepted,
                                archive=archive,
                                filter_bytes=settings.known_ids_filter_mb * BYTES_IN_MB,
                                process=process,
                            )
                        _print_built(built, time.monotonic() - began)
                        progress.compares()
                        await _Adoption(broker, files, state.identity, accepts_differences=accepts_differences).run()
    except LockedError:
        raise FatalError(f"another rebuild of {files.folder} is under way") from None


class _Adoption:
    """Puts the rebuilt file in place: in the projector that has the live one open, or here when none has."""

    def __init__(self, broker: Broker, files: ModelFiles, log_identity: str, *, accepts_differences: bool) -> None:
        self._broker = broker
        self._files = files
        self._log_identity = log_identity
        self._accepts_differences = accepts_differences

    async def run(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                with locked(self._files.lock):
                    self._adopt_here()
                    return
            except LockedError:
                if await self._ask():
                    return
                await asyncio.sleep(_POLL_SECONDS)
        raise FatalError("a projector has the read model open and does not answer; nothing was changed")

    async def _ask(self) -> bool:
        """Requests the change from the running projector. False when it does not serve queries (yet, or any more)."""
        asking = asyncio.ensure_future(
            ReadModel(self._broker).adopt(
                accepts_differences=self._accepts_differences,
                timeout_seconds=ADOPTION_SECONDS_MAX,
                instance=self._files.owner(),
            )
        )
        try:
            while not asking.done():
                await asyncio.wait((asking,), timeout=_POLL_SECONDS)
                if not asking.done() and not self._is_owned():
                    return False
            comparison = asking.result()
        except QuestionRefusedError as error:
            raise FatalError(f"the projector refused the new read model: {error}") from None
        except BrokerUnavailableError as error:
            raise FatalError(
                f"the projector's answer was lost: {error}; its program log shows whether it changed"
            ) from None
        finally:
            asking.cancel()
        if comparison is None:
            return False
        self._conclude(Comparison.decode(comparison))
        click.echo("the projector now uses the new read model")
        return True

    def _is_owned(self) -> bool:
        try:
            with locked(self._files.lock):
                return False
        except LockedError:
            return True

    def _adopt_here(self) -> None:
        if not self._files.rebuild.exists():
            raise FatalError("the projector ended during the change; run the rebuild again")
        current = self._files.current
        if not current.exists():
            click.echo("there was no read model to compare with")
        else:
            try:
                with closing(Store.open(current, self._log_identity)) as live, closing(live.cursor()) as cursor:
                    found = compare(cursor, self._files.rebuild, self._log_identity)
            except UnusableFileError as error:
                click.echo(f"there is nothing to compare with: {current.name} {error}")
            except NotComparableError as error:
                raise FatalError(f"the rebuilt read model cannot be used: {error}") from None
            else:
                self._conclude(found)
        self._files.make_current(self._files.take_rebuilt())
        self._files.sweep_models()
        click.echo(f"the read model is now {self._files.current.name}")

    def _conclude(self, found: Comparison) -> None:
        if found.compared_to < found.compared_from:
            click.echo("the two have no range of the log in common to compare: the log was purged in between")
        else:
            click.echo(
                f"compared row for row from {found.compared_from:,} to {found.compared_to:,} of the log:"
                f" {found.settled:,} settled and {found.rejected:,} rejected, {found.differences:,} differences"
            )
        for name, (count, cents) in sorted(found.totals.items()):
            click.echo(f"  {name}: {count:,} payments, {cents / 100:,.2f}")
        for difference in found.named:
            click.echo(f"  {difference}")
        if found.differences and not self._accepts_differences:
            raise FatalError("the two differ, so nothing was changed; --accept-differences installs the new one")


def _print_built(built: Built, seconds: float) -> None:
    rate = built.messages / max(seconds, 1e-9)
    click.echo(f"read {built.messages:,} messages up to {built.position:,} in {seconds:.1f} s ({rate:,.0f} messages/s)")
    if built.poison_events:
        click.echo(f"set aside: {built.poison_events:,} messages that are not valid; they are in no row")


@contextmanager
def _progress(expected: int) -> Iterator[Any]:
    """Yields a callback (messages read, messages remaining) that shows a bar on a terminal, else periodic lines."""
    began = time.monotonic()
    if not sys.stdout.isatty():
        yield _plain_lines(began)
        return
    rate = 0.0
    bar: Any
    with click.progressbar(
        length=max(expected, 1),
        label="reading the log",
        show_eta=True,
        show_percent=True,
        item_show_func=lambda _: f"{rate:,.0f} messages/s",
    ) as bar:

        def on_progress(messages: int, remaining: int) -> None:
            nonlocal rate
            rate = messages / max(time.monotonic() - began, 1e-9)
            bar.length = messages + remaining
            bar.update(messages - bar.pos)

        yield on_progress


def _plain_lines(began: float) -> Any:
    printed_at = began

    def on_progress(messages: int, remaining: int) -> None:
        nonlocal printed_at
        now = time.monotonic()
        if now - printed_at < PLAIN_LINE_SECONDS:
            return
        printed_at = now
        rate = messages / (now - began)
        click.echo(
            f"read {messages:,} of {messages + remaining:,} messages ({100 * messages // (messages + remaining)} %),"
            f" {rate:,.0f} messages/s, {remaining / rate:.0f} s left"
        )

    return on_progress
