"""Columns of one table as an Arrow stream, which DuckDB reads in place: as JSON they cost it three times as much.

Only what the read model's tables need of Arrow's C interfaces (https://arrow.apache.org/docs/format/CDataInterface.html,
https://arrow.apache.org/docs/format/CStreamInterface.html), without nulls. pyarrow would bring 100 MB for it.
"""

import ctypes
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """`buffers` are those of the format, without the one for nulls; `items` are those of all lists."""

    format: bytes
    length: int
    buffers: Sequence["array[int]"]
    items: "Column | None" = None


def integers(values: Sequence[int]) -> Column:
    """A BIGINT each."""
    return Column(b"l", len(values), [array("q", values)])


def texts(values: Sequence[str]) -> Column:
    """A VARCHAR each."""
    joined = "".join(values)
    offsets = _offsets(values if joined.isascii() else [one.encode() for one in values])
    return Column(b"u", len(values), [offsets, array("B", joined.encode())])


def texts_of(column: Column) -> Iterator[str]:
    """The values of a column of ASCII texts."""
    offsets, joined = column.buffers
    text = joined.tobytes().decode("ascii")
    return (text[begin:end] for begin, end in pairwise(offsets))


def lists(values: Sequence[Sequence[int]]) -> Column:
    """A BIGINT[] each."""
    return Column(b"+l", len(values), [_offsets(values)], integers(list(chain.from_iterable(values))))


class ArrowTable:
    """To be registered with a DuckDB connection, and kept until it has been read.

    Structures refer to each other by address: ctypes' own pointers form cycles, which nobody collects during a rebuild.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._kept: list[object] = [columns]
        """What addresses refer to."""
        length = next(iter(columns.values())).length
        self._schema = _Schema(format=b"+s", name=b"", release=_RELEASE_SCHEMA)
        self._set_children(self._schema, [self._field(name.encode(), column) for name, column in columns.items()])
        self._rows = _Array(length=length, release=_RELEASE_ARRAY)
        self._set_buffers(self._rows, [])
        self._set_children(self._rows, [self._values(column) for column in columns.values()])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A stream of one batch."""
        schema, batches = self._schema, [self._rows]

        def get_schema(_: Any, target: int) -> int:
            ctypes.memmove(target, ctypes.byref(schema), ctypes.sizeof(_Schema))
            return 0

        def get_next(_: Any, target: int) -> int:
            # A structure without a release function is the end of the stream.
            ctypes.memmove(target, ctypes.byref(batches.pop() if batches else _Array()), ctypes.sizeof(_Array))
            return 0

        stream = _Stream(_GET(get_schema), _GET(get_next), _LAST_ERROR(_no_error), _RELEASE_STREAM)
        self._kept.append(stream)
        return _new_capsule(ctypes.addressof(stream), _CAPSULE, None)

    def _field(self, name: bytes, column: Column) -> "_Schema":
        field = _Schema(format=column.format, name=name, release=_RELEASE_SCHEMA)
        self._set_children(field, [] if column.items is None else [self._field(b"item", column.items)])
        return field

    def _values(self, column: Column) -> "_Array":
        values = _Array(length=column.length, release=_RELEASE_ARRAY)
        self._set_buffers(values, [one.buffer_info()[0] for one in column.buffers])
        self._set_children(values, [] if column.items is None else [self._values(column.items)])
        return values

    def _set_buffers(self, values: "_Array", addresses: Sequence[int]) -> None:
        """The first buffer is that of the nulls, which there are none of."""
        values.n_buffers, values.buffers = 1 + len(addresses), self._addresses([None, *addresses])

    def _set_children(self, parent: "_Schema | _Array", children: Sequence["_Schema | _Array"]) -> None:
        self._kept.append(children)
        parent.n_children, parent.children = len(children), self._addresses([ctypes.addressof(one) for one in children])

    def _addresses(self, addresses: Sequence[int | None]) -> int:
        made = (ctypes.c_void_p * len(addresses))(*addresses)
        self._kept.append(made)
        return ctypes.addressof(made)


_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_GET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_LAST_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
_CAPSULE = b"arrow_array_stream"


class _Schema(ctypes.Structure):
    """ArrowSchema."""

    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_char_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", _RELEASE),
        ("private_data", ctypes.c_void_p),
    )


class _Array(ctypes.Structure):
    """ArrowArray."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", _RELEASE),
        ("private_data", ctypes.c_void_p),
    )


class _Stream(ctypes.Structure):
    """ArrowArrayStream."""

    _fields_ = (
        ("get_schema", _GET),
        ("get_next", _GET),
        ("get_last_error", _LAST_ERROR),
        ("release", _RELEASE),
        ("private_data", ctypes.c_void_p),
    )


def _marking_released(kind: Any) -> Any:
    """A release function. Nothing is freed: ArrowTable owns the memory."""

    def release(address: int) -> None:
        kind.from_address(address).release = _RELEASE()

    return _RELEASE(release)


def _no_error(_: Any) -> None:
    return None


_RELEASE_SCHEMA, _RELEASE_ARRAY, _RELEASE_STREAM = map(_marking_released, (_Schema, _Array, _Stream))
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)


def _offsets(values: Sequence[Any]) -> "array[int]":
    return array("i", accumulate(map(len, values), initial=0))
