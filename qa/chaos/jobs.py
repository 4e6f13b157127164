"""Several runs in parallel, each in its own process, so that a crash affects one run only."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qa.chaos.result import Result

PROJECT = Path(__file__).parents[2]
SECONDS_BESIDE_FAULTS_MAX = 240.0
"""Time to start, heal, end and judge; a run that takes longer is killed and counted as not judged."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to make. `services` is the source tree of the services, where it is not the installed one."""

    seed: int
    seconds: float
    rate_per_second: float
    services: Path | None = None
    focus: Sequence[str] = ()
    """Recipes that faults are drawn from; all if empty."""
    clocks: bool = False
    """Whether clocks are set as well."""
    cluster: bool = False
    """Whether the log is on three brokers."""
    discard: bool = False
    """Whether the folder is removed even if the run is not clean."""


async def run_jobs(jobs: Sequence[Job], side_by_side: int) -> AsyncIterator[tuple[Job, Result]]:
    """Yields each job with its result, in the order in which they end."""
    places = asyncio.Semaphore(side_by_side)

    async def one(job: Job) -> tuple[Job, Result]:
        async with places:
            return job, await _run(job)

    tasks = [asyncio.ensure_future(one(job)) for job in jobs]
    try:
        for ended in asyncio.as_completed(tasks):
            yield await ended
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(job: Job) -> Result:
    with tempfile.TemporaryDirectory(prefix="tollgate-chaos-result-") as folder:
        path = Path(folder) / "result.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "qa.chaos.once", "--quiet", "--json", str(path)),
            *("--seed", str(job.seed), "--seconds", str(job.seconds), "--rate", str(job.rate_per_second)),
            *(("--services", str(job.services)) if job.services else ()),
            *(part for recipe in job.focus for part in ("--focus", recipe)),
            *(("--clocks",) if job.clocks else ()),
            *(("--cluster",) if job.cluster else ()),
            *(("--folders", "none") if job.discard else ()),
            cwd=PROJECT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), job.seconds + SECONDS_BESIDE_FAULTS_MAX)
        except TimeoutError:
            return Result(job.seed, job.seconds, trouble="the run did not end in time")
        finally:
            if process.returncode is None:
                # Its stack ends with it.
                process.kill()
                await process.wait()
        if not path.exists():
            return Result(job.seed, job.seconds, trouble=f"the run died: {output.decode(errors='replace')[-2000:]}")
        return Result(**json.loads(path.read_text()))
