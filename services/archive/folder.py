"""The archive's folder: one folder for each closed stretch, complete or not there at all.

0000000000000000001/messages.parquet    every message of the stretch
                    settled.parquet     the payments that it settled
                    manifest.json       what the two hold, and the digest of the manifest before
                    manifest.sha256     the digest of manifest.json
"""

import bisect
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tollgate.archive.errors import ArchiveError
from tollgate.archive.manifest import (
    FILES,
    FIRST,
    MESSAGES_FILE,
    Manifest,
    Stretch,
    check_chain,
    decode,
    encode,
    name_of,
)
from tollgate.archive.parquet import first_stored_from, read_messages
from tollgate.messaging.stored_message import StoredMessage
from tollgate.runtime.durable_files import sync_folder, write_durably

MANIFEST_FILE = "manifest.json"
DIGEST_FILE = "manifest.sha256"
_UNFINISHED = ".new"
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Archive:
    """The closed stretches in a folder, in the log's order, as they were when it was opened."""

    folder: Path
    stretches: tuple[Stretch, ...] = ()

    @property
    def log_identity(self) -> str | None:
        """The identity of the log; None while nothing is archived."""
        return self.stretches[0].manifest.log_identity if self.stretches else None

    @property
    def first_sequence(self) -> int:
        """The first archived sequence; 0 while there is none."""
        return self.stretches[0].manifest.first_sequence if self.stretches else 0

    @property
    def last_sequence(self) -> int:
        """The last archived sequence; 0 while there is none."""
        return self.stretches[-1].manifest.last_sequence if self.stretches else 0

    @property
    def last_stored_at_us(self) -> int:
        """When the last archived message was stored; 0 while there is none."""
        return self.stretches[-1].manifest.last_stored_at_us if self.stretches else 0

    @property
    def head(self) -> str:
        """The digest of the last manifest."""
        return self.stretches[-1].digest if self.stretches else FIRST

    def messages(self, first_sequence: int, last_sequence: int) -> Iterator[list[StoredMessage]]:
        """The archived messages between two sequences, both included, in batches, without a gap. Blocks.

        Raises ArchiveError.
        """
        expected = max(first_sequence, self.first_sequence)
        for stretch in self.stretches:
            manifest = stretch.manifest
            if manifest.last_sequence < expected or manifest.first_sequence > last_sequence:
                continue
            end = min(manifest.last_sequence, last_sequence)
            path = self.path_of(manifest) / MESSAGES_FILE
            for batch in read_messages(path, expected, end):
                if [one.sequence for one in batch] != list(range(expected, expected + len(batch))):
                    raise ArchiveError(f"{path} does not hold the messages from {expected} on in the log's order")
                expected += len(batch)
                yield batch
            if expected != end + 1:
                raise ArchiveError(f"{path} lacks the messages from {expected} to {end}")

    def sequence_at(self, moment_us: int) -> int | None:
        """The sequence of the first archived message stored at that time or later; None if all are older. Blocks."""
        ends = [one.manifest.last_stored_at_us for one in self.stretches]
        for stretch in self.stretches[bisect.bisect_left(ends, moment_us) :]:
            found = first_stored_from(self.path_of(stretch.manifest) / MESSAGES_FILE, moment_us)
            if found is not None:
                return found
        return None

    def check(self) -> None:
        """Reads every byte, and raises ArchiveError with the stretch and the file where one was changed. Blocks."""
        for stretch in self.stretches:
            for name in FILES:
                path = self.path_of(stretch.manifest) / name
                if digest_of(path) != stretch.manifest.files[name]:
                    raise ArchiveError(f"{path} was changed: it has another digest than in its manifest")

    def path_of(self, manifest: Manifest) -> Path:
        """The folder of a stretch."""
        return self.folder / name_of(manifest.first_sequence)


def open_archive(folder: Path) -> Archive:
    """The archive in the folder, an empty one if there is none. Raises ArchiveError if the chain is broken. Blocks."""
    try:
        names = sorted(one.name for one in folder.iterdir() if one.is_dir() and one.name.isdecimal())
    except FileNotFoundError:
        names = []
    stretches = tuple(_stretch(folder / name) for name in names)
    check_chain(stretches)
    return Archive(folder, stretches)


def begin_stretch(archive: Archive, first_sequence: int) -> Path:
    """A new folder for the files of the next stretch; what an interrupted run left is removed. Blocks."""
    archive.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in archive.folder.glob(f"*{_UNFINISHED}"):
        shutil.rmtree(left)
    unfinished = archive.folder / (name_of(first_sequence) + _UNFINISHED)
    unfinished.mkdir(mode=0o700)
    return unfinished


def close_stretch(archive: Archive, unfinished: Path, manifest: Manifest) -> Archive:
    """Makes the stretch whose files are in that folder part of the archive, durably. Blocks."""
    content = encode(manifest)
    stretch = decode(content)
    check_chain([*archive.stretches, stretch])
    shutil.rmtree(unfinished / "spill", ignore_errors=True)
    write_durably(unfinished / MANIFEST_FILE, content)
    write_durably(unfinished / DIGEST_FILE, f"{stretch.digest}\n".encode())
    sync_folder(unfinished)
    unfinished.replace(archive.path_of(manifest))
    sync_folder(archive.folder)
    return Archive(archive.folder, (*archive.stretches, stretch))


def digest_of(path: Path) -> str:
    """The SHA-256 of a file. Raises ArchiveError when it cannot be read. Blocks."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
                digest.update(piece)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _stretch(folder: Path) -> Stretch:
    path = folder / MANIFEST_FILE
    try:
        content, digest = path.read_bytes(), (folder / DIGEST_FILE).read_bytes()
    except OSError as error:
        raise ArchiveError(f"{folder} cannot be read: {error.strerror}") from None
    if digest != f"{hashlib.sha256(content).hexdigest()}\n".encode():
        raise ArchiveError(f"{path}, or {DIGEST_FILE} beside it, was changed")
    try:
        stretch = decode(content)
    except ArchiveError as error:
        raise ArchiveError(f"{path} cannot be used: {error}") from None
    if name_of(stretch.manifest.first_sequence) != folder.name:
        raise ArchiveError(f"{path} is of another stretch")
    return stretch
