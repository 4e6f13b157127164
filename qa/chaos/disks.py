"""Small disks that can be filled to the last byte: a tmpfs each, which only root may mount."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

DISK_BYTES = 64 * 1024 * 1024
_BALLAST = "ballast"
_BLOCK_BYTES = 1024 * 1024


class NoDisksError(Exception):
    """A disk cannot be mounted here; the text states why."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A separate file system, mounted at `path`."""

    path: Path

    def mount(self) -> None:
        """Mounts it. Raises NoDisksError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() != 0:
            raise NoDisksError("only root can mount a disk")
        options = f"size={DISK_BYTES},mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "tollgate-chaos", str(self.path)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            why = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
            raise NoDisksError(f"no disk can be mounted here: {why}") from error

    def fill(self) -> None:
        """Fills the disk to the last byte."""
        with contextlib.suppress(OSError), (self.path / _BALLAST).open("ab", buffering=0) as ballast:
            for block in (_BLOCK_BYTES, 4_096, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(b"\0" * block):
                        pass

    def empty(self) -> None:
        (self.path / _BALLAST).unlink(missing_ok=True)

    def unmount(self) -> None:
        # Lazily: a program that was just killed may still hold it.
        subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)  # noqa: S603, S607
