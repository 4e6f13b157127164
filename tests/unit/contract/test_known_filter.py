import pytest

from tollgate.contract.known_filter import (
    FilterPart,
    PartQuestion,
    decode_part,
    decode_part_question,
    encode_part,
    encode_part_question,
)
from tollgate.contract.log_mark import LogMark

PART = FilterPart(32_768, "a generation", LogMark("a log", 7, 1_750_000_000_000_000, 7), b"\n\x00\xff bits")


def test_a_part_and_its_question_are_read_as_they_were_written() -> None:
    assert decode_part(encode_part(PART)) == PART
    assert decode_part_question(encode_part_question(PartQuestion(0, 4_096))) == PartQuestion(0, 4_096)


@pytest.mark.parametrize("byte", [-1, -3])
def test_a_part_with_a_changed_byte_is_refused(byte: int) -> None:
    payload = bytearray(encode_part(PART))
    payload[byte] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        decode_part(bytes(payload))


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]\n", b'{"begin":-1,"size_bytes":7}'])
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        decode_part(payload)
    with pytest.raises(ValueError):  # noqa: PT011
        decode_part_question(payload)
