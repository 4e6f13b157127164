"""What a closed stretch of the log holds, and how it follows the one before. Pure.

The digest of a manifest is the SHA-256 of its bytes. Each manifest holds the digest of the one before it, so the digest
of the last one, the *head*, stands for every byte of the archive.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import orjson

from tollgate.archive.errors import ArchiveError

FORMAT = 1
MESSAGES_FILE = "messages.parquet"
SETTLED_FILE = "settled.parquet"
FILES = (MESSAGES_FILE, SETTLED_FILE)
FIRST = "0" * 64
"""In place of the digest of a previous manifest, in the first one."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One closed stretch: every message from `first_sequence` to `last_sequence`, both included."""

    log_identity: str
    first_sequence: int
    last_sequence: int
    first_stored_at_us: int
    last_stored_at_us: int
    settled: int
    """How many payments were settled by messages of the stretch."""
    files: dict[str, str]
    """The SHA-256 of each of FILES."""
    previous: str = FIRST

    @property
    def messages(self) -> int:
        """How many messages the stretch holds."""
        return self.last_sequence - self.first_sequence + 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """A manifest, and the digest of its bytes."""

    manifest: Manifest
    digest: str


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON."""
    content = {"format": FORMAT, "messages": manifest.messages, **asdict(manifest)}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def decode(content: bytes) -> Stretch:
    """The manifest and its digest. Raises ArchiveError when it is not as `encode` writes it."""
    try:
        fields: dict[str, Any] = orjson.loads(content)
        if fields.pop("format") != FORMAT:
            raise ArchiveError("its format is not known here")
        messages = fields.pop("messages")
        manifest = Manifest(**fields)
        is_whole = (
            0 < manifest.first_sequence <= manifest.last_sequence
            and messages == manifest.messages
            and manifest.files.keys() == set(FILES)
            and all(_DIGEST.fullmatch(one) for one in (manifest.previous, *manifest.files.values()))
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        raise ArchiveError("it cannot be read")
    return Stretch(manifest, hashlib.sha256(content).hexdigest())


def check_chain(stretches: Iterable[Stretch], identities: Sequence[str] = ()) -> None:
    """Raises ArchiveError, with the sequences of the stretch, where one does not follow the one before it.

    `identities` are those that the log has had, if it was restored.
    """
    stretches = list(stretches)
    if stretches and stretches[0].manifest.previous != FIRST:
        raise ArchiveError(f"the archive lacks what is before {stretches[0].manifest.first_sequence}")
    for one, other in pairwise(stretches):
        before, after = one.manifest, other.manifest
        if after.first_sequence != before.last_sequence + 1:
            raise ArchiveError(f"the archive lacks what is between {before.last_sequence} and {after.first_sequence}")
        is_same = after.log_identity == before.log_identity
        if not is_same and not {before.log_identity, after.log_identity} <= {*identities}:
            raise ArchiveError(f"the archive is of another log from {after.first_sequence} on")
        if after.previous != one.digest:
            raise ArchiveError(
                f"the manifest of the stretch {name_of(before.first_sequence)} was changed:"
                " the next one has another digest of it"
            )


def name_of(first_sequence: int) -> str:
    """The name of the folder of a stretch; the names are in the order of the log."""
    return f"{first_sequence:019d}"
