"""The archive's folder: one folder for each closed stretch, complete or not there at all.

0000000000000000001/messages.parquet    every message of the stretch
                    settled.parquet     the payments that it settled
                    manifest.json       what the two hold, and the digest of the manifest before
                    manifest.sha256     the digest of manifest.json
identities                              only after a restore: the identities that the log has had, one a line
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
from tollgate.contract.read_model_api import ArchiveEnd
from tollgate.messaging.stored_message import StoredMessage
from tollgate.runtime.durable_files import sync_folder, write_durably

MANIFEST_FILE = "manifest.json"
DIGEST_FILE = "manifest.sha256"
IDENTITIES_FILE = "identities"
_UNFINISHED = ".new"
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Archive:
    """The closed stretches in a folder, in the log's order, as they were when it was opened."""

    folder: Path
    stretches: tuple[Stretch, ...] = ()
    identities: tuple[str, ...] = ()
    """The identities that the log has had; empty if it was never restored beside the archive."""

    @property
    def log_identity(self) -> str | None:
        """The identity of the log when the last stretch was closed; None while nothing is archived."""
        return self.stretches[-1].manifest.log_identity if self.stretches else None

    def is_of(self, log_identity: str) -> bool:
        """Whether the log has had this identity. Several brokers may have one: a backup can be restored twice."""
        return log_identity in {self.log_identity, *self.identities}

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
    def end(self) -> ArchiveEnd | None:
        """What is archived, in short; None while nothing is."""
        if not self.stretches:
            return None
        return ArchiveEnd(
            *(self.log_identity or "", self.first_sequence, self.last_sequence, len(self.stretches), self.head)
        )

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

    def check(self, first_sequence: int = 1) -> None:
        """Reads every byte of the stretches that hold messages from `first_sequence` on. Blocks.

        Raises ArchiveError with the stretch and the file of the first one that was changed.
        """
        for stretch in self.stretches:
            if stretch.manifest.last_sequence < first_sequence:
                continue
            for name in FILES:
                path = self.path_of(stretch.manifest) / name
                if digest_of(path) != stretch.manifest.files[name]:
                    raise ArchiveError(f"{path} was changed: it has another digest than in its manifest")

    def up_to(self, last_sequence: int) -> "Archive":
        """The stretches that end there or before: an archive, too, since each one follows those before it."""
        kept = [one for one in self.stretches if one.manifest.last_sequence <= last_sequence]
        return Archive(self.folder, tuple(kept), self.identities)

    def path_of(self, manifest: Manifest) -> Path:
        """The folder of a stretch."""
        return self.folder / name_of(manifest.first_sequence)


def open_archive(folder: Path) -> Archive:
    """The archive in the folder, an empty one if there is none. Raises ArchiveError if the chain is broken. Blocks."""
    stretches = tuple(read_stretch(folder / name) for name in stretch_names(folder))
    identities = read_identities(folder)
    check_chain(stretches, identities)
    return Archive(folder, stretches, identities)


def read_identities(folder: Path) -> tuple[str, ...]:
    """The identities that the log has had, if it was restored beside the archive. Raises ArchiveError. Blocks."""
    try:
        return tuple((folder / IDENTITIES_FILE).read_text().split())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{folder / IDENTITIES_FILE} cannot be read: {error}") from None


def note_identity(folder: Path, archive: Archive, log_identity: str) -> Archive:
    """Records in the folder that the log of this archive has another identity since it was restored. Blocks."""
    if not archive.stretches or archive.is_of(log_identity):
        return archive
    identities = (*(archive.identities or (archive.log_identity or "",)), log_identity)
    unfinished = folder / (IDENTITIES_FILE + _UNFINISHED)
    unfinished.unlink(missing_ok=True)
    write_durably(unfinished, "".join(f"{one}\n" for one in identities).encode())
    unfinished.replace(folder / IDENTITIES_FILE)
    sync_folder(folder)
    return Archive(archive.folder, archive.stretches, identities)


def stretch_names(folder: Path) -> list[str]:
    """The names of the folders of the stretches, in the log's order. Raises ArchiveError. Blocks."""
    try:
        return sorted(one.name for one in folder.iterdir() if one.name.isdecimal() and one.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ArchiveError(f"{folder} cannot be read: {error.strerror}") from None


def begin_stretch(archive: Archive, first_sequence: int) -> Path:
    """A new folder for the files of the next stretch; what an interrupted run left is removed. Blocks."""
    archive.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in archive.folder.glob(f"[0-9]*{_UNFINISHED}"):
        shutil.rmtree(left)
    unfinished = archive.folder / (name_of(first_sequence) + _UNFINISHED)
    unfinished.mkdir(mode=0o700)
    return unfinished


def close_stretch(archive: Archive, unfinished: Path, manifest: Manifest) -> Archive:
    """Makes the stretch whose files are in that folder part of the archive, durably. Blocks."""
    content = encode(manifest)
    stretch = decode(content)
    check_chain([*archive.stretches, stretch], archive.identities)
    shutil.rmtree(unfinished / "spill", ignore_errors=True)
    write_durably(unfinished / MANIFEST_FILE, content)
    write_durably(unfinished / DIGEST_FILE, f"{stretch.digest}\n".encode())
    sync_folder(unfinished)
    unfinished.replace(archive.path_of(manifest))
    sync_folder(archive.folder)
    return Archive(archive.folder, (*archive.stretches, stretch), archive.identities)


def set_aside(archive: Archive, last_sequence: int) -> Path:
    """Moves the stretches that end after `last_sequence` to a folder beside the others. Blocks.

    The last one is moved first, so that what is left is an archive at each step.
    """
    beside = archive.folder / f"later-than-{last_sequence}"
    beside.mkdir(mode=0o700, exist_ok=True)
    for one in reversed(archive.stretches):
        if one.manifest.last_sequence > last_sequence:
            path = archive.path_of(one.manifest)
            path.replace(beside / path.name)
    sync_folder(beside)
    sync_folder(archive.folder)
    return beside


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


def read_stretch(folder: Path) -> Stretch:
    """The manifest in the folder of a stretch. Raises ArchiveError. Blocks."""
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
