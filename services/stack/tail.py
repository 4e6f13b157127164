"""The last lines of a program log."""

from pathlib import Path

_BYTES_MAX = 16_384


def last_lines(path: Path, count: int) -> list[str]:
    """At most `count` lines from the end, without empty ones; none when the file is missing."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _BYTES_MAX))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
