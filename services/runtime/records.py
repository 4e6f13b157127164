"""Small records in files: what a command came to, for another program that shows it. Nothing else depends on them."""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import orjson

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def read_record(kind: type[T], path: Path) -> T | None:
    """The record; None if there is none that can be used: the next run of the command writes it anew. Blocks."""
    try:
        return kind(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def replace_record(path: Path, record: "DataclassInstance") -> None:
    """Replaces the record. What cannot be written is left out: the age of the last one shows it. Blocks."""
    unfinished = path.with_name(path.name + ".new")
    with contextlib.suppress(OSError):
        unfinished.write_bytes(orjson.dumps(asdict(record)) + b"\n")
        unfinished.replace(path)
