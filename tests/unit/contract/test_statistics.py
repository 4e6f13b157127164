"""The answer of a program to a request for its metrics."""

import pytest

from tollgate.contract.statistics import ProgramStatistics, decode_statistics, encode_statistics

STATISTICS = ProgramStatistics("gateway", "gateway-1", {"a_total": 1.0, 'b{provider="default"}': 0.5})


def test_statistics_are_the_same_after_encoding() -> None:
    assert decode_statistics(encode_statistics(STATISTICS)) == STATISTICS


@pytest.mark.parametrize(
    "payload",
    [
        *(b"{}", b"[]", b"1", b"null"),
        b'{"program": "a", "name": 1, "samples": {}}',
        b'{"program": "a", "name": "b", "samples": {"c": "d"}}',
    ],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a ProgramStatistics"):
        decode_statistics(payload)
