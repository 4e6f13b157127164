"""The projector's filter of all ids that were requested, in parts: subject, question, answer and their encoding. Pure.

A gateway that starts loads it and reads only the requests after it. Bits are only added to a filter, so parts that are
read one after the other contain every id up to the mark of the first one, as long as `generation` is the same.
"""

import zlib
from dataclasses import asdict, dataclass

import orjson

from tollgate.contract.log_mark import LogMark

KNOWN_FILTER = "projector.known_filter"
PART_BYTES = 32_768
"""A quarter of what the broker takes in a message."""


@dataclass(frozen=True, slots=True)
class PartQuestion:
    """Asks for the part from byte `begin` on, of a filter of `size_bytes`. A filter of another size is refused."""

    begin: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FilterPart:
    """A part. `mark` is the last message of the log whose id is in it.

    `generation` changes when the filter loses ids: after a purge, and with each filter that is made anew.
    """

    begin: int
    generation: str
    mark: LogMark
    bits: bytes


def encode_part_question(question: PartQuestion) -> bytes:
    return orjson.dumps(asdict(question))


def decode_part_question(payload: bytes) -> PartQuestion:
    """Raises ValueError for anything that `encode_part_question` does not write."""
    match orjson.loads(payload):
        case {"begin": int(begin), "size_bytes": int(size_bytes)} if begin >= 0:
            return PartQuestion(begin, size_bytes)
        case _:
            raise ValueError(f"not a PartQuestion: {payload[:80]!r}")


def encode_part(part: FilterPart) -> bytes:
    fields = {
        "begin": part.begin,
        "generation": part.generation,
        "mark": asdict(part.mark),
        "crc32": zlib.crc32(part.bits),
    }
    return orjson.dumps(fields) + b"\n" + part.bits


def decode_part(payload: bytes) -> FilterPart:
    """Raises ValueError when the checksum does not match, and for anything that `encode_part` did not write."""
    head, _, bits = payload.partition(b"\n")
    match orjson.loads(head):
        case {"begin": int(begin), "generation": str(generation), "mark": dict(mark), "crc32": int(crc32)}:
            if crc32 != zlib.crc32(bits):
                raise ValueError("the checksum of a part of the filter does not match")
            return FilterPart(begin, generation, _mark(mark), bits)
        case _:
            raise ValueError(f"not a FilterPart: {head[:80]!r}")


def _mark(fields: object) -> LogMark:
    match fields:
        case {"identity": str(identity), "sequence": int(sequence), "stored_at_us": int(stored_at_us), "end": int(end)}:
            return LogMark(identity, sequence, stored_at_us, end)
        case _:
            raise ValueError(f"not a LogMark: {fields!r}")
