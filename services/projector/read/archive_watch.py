"""Looks at the archive from time to time, so that nobody who asks for metrics waits for its folder."""

import asyncio
from pathlib import Path

from tollgate.archive.end import ArchiveView, view_of_archive
from tollgate.archive.last_run import LastRun, read_last_run
from tollgate.projector.live.active_model import ActiveModel, Model

LOOK_SECONDS = 10.0


class ArchiveWatch:
    """The archive in `folder`, if there is one, as of the last look."""

    def __init__(self, folder: Path | None, active_model: ActiveModel) -> None:
        self._folder = folder
        self._active_model = active_model
        self.seen = ArchiveView()
        self.last_run: LastRun | None = None

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            model = self._active_model.model
            with model.used():
                self.seen = await asyncio.to_thread(self.view, model)
            if self._folder is not None:
                self.last_run = await asyncio.to_thread(read_last_run, self._folder)
            await asyncio.sleep(LOOK_SECONDS)

    def view(self, model: Model) -> ArchiveView:
        """What is archived of the log that this model follows. Blocks."""
        log = model.watch.log
        # Until the model has applied the stream's first message, it does not know whether that is a purge.
        if log is None or model.follower.position < min(log.first_sequence, log.last_sequence):
            return ArchiveView()
        purged_at, missing_accepted = model.store.purged_at(), model.missing_accepted
        return view_of_archive(self._folder, log, purged_at=purged_at, missing_accepted=missing_accepted)
