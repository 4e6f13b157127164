from dataclasses import replace

import orjson
import pytest

from contract.queries import OpenPayment, Status, decode_status, encode_status
from projector.status import Lag, Report, as_json_text, as_table

STATUS = Status(
    position=90,
    log_identity="one",
    settled=20,
    rejected=1,
    pending=3,
    routed=2,
    in_doubt=1,
    oldest_open=OpenPayment("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", 1_000_000),
    poison_events=4,
    file_bytes=4_096,
    committed_position=88,
    committed_at_us=9_000_000,
    started_at_us=2_000_000,
)
REPORT = Report(STATUS, log_end=100, is_of_this_log=True, lag=Lag(10, 4.5), asked_at_us=11_000_000)


def test_a_status_survives_its_way_over_the_broker() -> None:
    assert decode_status(encode_status(STATUS)) == STATUS
    assert decode_status(encode_status(replace(STATUS, oldest_open=None))).oldest_open is None


@pytest.mark.parametrize(
    ("report", "troubles"),
    [
        (REPORT, []),
        (replace(REPORT, lag=Lag(10, 5.1)), ["10 messages behind, by more than 5 s"]),
        # Its position means nothing then.
        (
            replace(REPORT, lag=Lag(10, 5.1), is_of_this_log=False),
            ["the read model is of another log than the broker's"],
        ),
    ],
)
def test_it_is_not_well_when_it_is_far_behind_or_of_another_log(report: Report, troubles: list[str]) -> None:
    assert report.troubles(5) == troubles


def test_a_person_reads_it_line_by_line() -> None:
    assert as_table(REPORT, []).splitlines() == [
        "health       fine",
        "position     90 of 100",
        "lag          10 messages, 4.5 s",
        "settled      20",
        "rejected     1",
        "open         3 pending, 2 routed, 1 in doubt",
        "oldest open  4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3, 10.0 s",
        "set aside    4 messages that are not valid, since the start",
        "file         4096 bytes",
        "checkpoint   88, at 1970-01-01T00:00:09.000000Z",
        "uptime       9 s",
    ]


def test_a_program_reads_it_as_json() -> None:
    content = orjson.loads(as_json_text(REPORT, ["behind"]))
    assert (content["healthy"], content["troubles"], content["lag_messages"], content["uptime_seconds"]) == (
        *(False, ["behind"], 10, 9.0),
    )
    assert content["oldest_open"] == {
        "correlation_id": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3",
        "accepted_at": "1970-01-01T00:00:01.000000Z",
        "age_seconds": 10.0,
    }
