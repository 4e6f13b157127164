"""Checksums of a file by pieces, so that a changed byte is found and located."""

import hashlib
from pathlib import Path

PIECE_BYTES = 1024 * 1024


def checksums(path: Path) -> list[str]:
    """SHA-256 of each piece of PIECE_BYTES, the last one shorter."""
    with path.open("rb") as file:
        return [hashlib.sha256(piece).hexdigest() for piece in iter(lambda: file.read(PIECE_BYTES), b"")]


def first_change(path: Path, expected: list[str]) -> str | None:
    """Describes the first piece that differs from the expected checksums; None if none does."""
    found = checksums(path)
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return f"{path.name} was changed between its bytes {number * PIECE_BYTES} and {(number + 1) * PIECE_BYTES}"
    if len(found) != len(expected):
        return f"{path.name} has {len(found)} pieces of {PIECE_BYTES} bytes, and had {len(expected)}"
    return None
