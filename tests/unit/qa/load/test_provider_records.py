from datetime import UTC, datetime

import pytest

from qa.load.provider_records import Entry, Summary, Totals, UnreadableError, read_entries, read_summary, read_totals

SUMMARY = b'{"default":{"totalRequests":3,"totalAmount":59.7},"fallback":{"totalRequests":0,"totalAmount":0}}'
ROW = b'{"correlationId":"4A7901B8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":19.90,"requestedAt":"2025-07-05T12:00:00.5Z"}'
ENTRY = Entry("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", 1990, datetime(2025, 7, 5, 12, 0, 0, 500_000, UTC))


def test_both_sides_are_read_to_the_same_totals() -> None:
    book = read_totals(b'{"totalRequests":3,"totalAmount":59.70,"totalFee":2.985,"feePerTransaction":0.05}')
    assert read_summary(SUMMARY) == Summary(book, Totals(0, 0))
    assert read_summary(SUMMARY).total == Totals(3, 5970)


def test_the_difference_keeps_its_sign() -> None:
    summary = read_summary(SUMMARY)
    assert summary - Summary(Totals(4, 7960), Totals(0, 0)) == Summary(Totals(-1, -1990), Totals(0, 0))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"default":{"totalRequests":3,"totalAmount":59.7}}',
        SUMMARY.replace(b"59.7", b"59.7000000001"),
        SUMMARY.replace(b"3", b"3.0"),
        SUMMARY.replace(b"3", b"true"),
    ],
)
def test_an_answer_that_is_no_exact_summary_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_summary(body)


@pytest.mark.parametrize("body", [b"[" + ROW + b"," + ROW + b"]", ROW + b"\n" + ROW + b"\n\n", b" [" + ROW + b"] "])
def test_a_list_of_payments_may_be_an_array_or_lines(body: bytes) -> None:
    assert set(read_entries(body)) == {ENTRY}


@pytest.mark.parametrize("body", [b"", b"\n", b"[]"])
def test_an_empty_list_of_payments_is_valid(body: bytes) -> None:
    assert read_entries(body) == []


def test_a_stamp_without_a_zone_means_utc() -> None:
    assert read_entries(ROW.replace(b".5Z", b".5")) == [ENTRY]


@pytest.mark.parametrize(
    "body", [b"[1]", b"{}", b"nonsense", ROW.replace(b"2025", b"MM"), ROW.replace(b".90", b".909")]
)
def test_a_list_that_cannot_be_read_exactly_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_entries(body)
