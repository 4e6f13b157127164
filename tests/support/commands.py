"""Runs a command as in an operator's shell: with its own environment and working directory."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.forked import BIN, run

OURS = ("DATA_DIR", "NATS_", "PAYMENT_PROCESSOR_", "PROCESSOR_", "TOLLGATE_", "GATEWAY_", "ALLOW_PURGE", "SIMULATOR_")
"""Prefixes of the names of Tollgate's variables."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    status: int
    output: str
    errors: str
    seconds: float

    @property
    def line(self) -> str:
        """Its output, which must be one line."""
        said = (self.output + self.errors).strip()
        assert len(said.splitlines()) == 1, said
        return said


def run_command(command: str, *arguments: str, folder: Path | None = None, **variables: str) -> Ended:
    """Runs one of Tollgate's programs in `folder` with exactly these variables of Tollgate."""
    began = time.monotonic()
    env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | variables
    done = run([str(BIN / command), *arguments], env=env, cwd=folder)
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
