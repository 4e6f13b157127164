"""A set of correlationIds in a fixed number of bytes, however many are added.

It is a Bloom filter: an id that it does not contain was not added; one that it contains may have been, and must be
looked up. The more ids are added, the more others it contains, too: at 8 ids for each of its bytes nearly every one.
"""

from hashlib import blake2b
from struct import Struct

BYTES_IN_MB = 1 << 20
HASHES = 4
MERGED_BYTES = 65_536
"""Bytes that are merged at once: several copies of them are made."""
_BITS_OF_HASH = 32
_WORDS = Struct(f"<{HASHES}I")


class IdFilter:
    """A filter of `size_bytes`. The bits of an id depend on the size alone, so that processes can exchange filters."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._bits = bytearray(size_bytes)

    def __contains__(self, correlation_id: object) -> bool:
        bits, size = self._bits, self.size_bytes << 3
        for word in _WORDS.unpack(blake2b(str(correlation_id).encode(), digest_size=_WORDS.size).digest()):
            bit = word * size >> _BITS_OF_HASH
            if not bits[bit >> 3] >> (bit & 7) & 1:
                return False
        return True

    def add(self, correlation_id: str) -> None:
        bits, size = self._bits, self.size_bytes << 3
        for word in _WORDS.unpack(blake2b(correlation_id.encode(), digest_size=_WORDS.size).digest()):
            bit = word * size >> _BITS_OF_HASH
            bits[bit >> 3] |= 1 << (bit & 7)

    def fill(self) -> None:
        """Makes it contain every id, so that each is looked up."""
        self._bits = bytearray(b"\xff") * self.size_bytes

    def clear(self) -> None:
        self._bits = bytearray(self.size_bytes)

    def part(self, begin: int, length: int) -> bytes:
        """The bytes from `begin` on, at most `length`.

        Parts that are read one after the other contain, together, every id that was added before the first was read
        (unless the filter was cleared in between).
        """
        return bytes(memoryview(self._bits)[begin : begin + length])

    def merge(self, begin: int, part: bytes) -> None:
        """Adds the ids of a part of another filter of the same size. Raises ValueError when it is out of bounds."""
        end = begin + len(part)
        if begin < 0 or end > self.size_bytes:
            raise ValueError(f"bytes {begin} to {end} of a filter of {self.size_bytes}")
        for first in range(0, len(part), MERGED_BYTES):
            some = part[first : first + MERGED_BYTES]
            where = slice(begin + first, begin + first + len(some))
            own = int.from_bytes(self._bits[where], "little")
            self._bits[where] = (own | int.from_bytes(some, "little")).to_bytes(len(some), "little")
