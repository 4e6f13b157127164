"""Checks before a stack starts: writable folders, free disk space, limit of open files."""

import os
import resource
import shutil
from pathlib import Path

from tollgate.runtime.errors import SettingError
from tollgate.stack.errors import StackError
from tollgate.stack.settings import Settings

DISK_BYTES_MIN = 32 * 1024 * 1024
"""The broker and the read model start with less; below it the disk would soon be full."""
OPEN_FILES_MIN = 1_024
"""Of each program. What supervisord insists on, and enough for some 400 clients at the edge at once."""
OPEN_FILES_MAX = 65_536


def check_machine(settings: Settings) -> None:
    """Creates the folders and raises the limit of open files. Raises SettingError and StackError."""
    _allow_open_files()
    # The broker and the projector make theirs when they begin; here they get their mode, and an error its one line.
    for folder in (settings.data, settings.run, settings.logs, settings.data / "nats", settings.data / "projector"):
        make_private(folder, is_ours=folder != settings.data)
    free = shutil.disk_usage(settings.data).free
    if free < DISK_BYTES_MIN:
        raise SettingError(
            f"the disk of {settings.data} has {free // 1024} KB left, and a stack needs {DISK_BYTES_MIN // 1024}:"
            " make room, or set DATA_DIR to another place"
        )


def make_private(folder: Path, *, is_ours: bool = True) -> None:
    """Creates the folder with access for its owner only; resets the mode of one that is ours. Raises SettingError."""
    try:
        for parent in reversed(folder.parents):
            parent.mkdir(exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid():
            raise SettingError(f"{folder} belongs to another user; set DATA_DIR to another place")
        if is_ours and status.st_mode & 0o077:
            folder.chmod(0o700)
        if os.statvfs(folder).f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK | os.X_OK):
            raise SettingError(f"{folder} is read-only; set DATA_DIR to another place")
    except OSError as error:
        raise SettingError(f"{folder} cannot be made ({error.strerror}); set DATA_DIR to another place") from error


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if allowed < OPEN_FILES_MIN:
        raise StackError(f"a program may open {allowed} files here, and needs {OPEN_FILES_MIN}: raise `ulimit -n`")
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
