from dataclasses import replace

import orjson
import pytest

from tollgate.contract.clock_offset import ClockOffset
from tollgate.contract.read_model_api import OpenPayment, Status, decode_status, encode_status
from tollgate.contract.read_model_health import Bounds, Lag, Report
from tollgate.contract.waiting import ChargingFacts, WaitingPayment
from tollgate.projector.read.status import as_json_text, as_table

STATUS = Status(
    position=90,
    log_identity="one",
    settled=20,
    rejected=1,
    pending=3,
    routed=2,
    in_doubt=1,
    oldest_open=OpenPayment("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", 500_000, 1_000_000, 41),
    poison_events=4,
    file_bytes=4_096,
    committed_position=88,
    committed_at_us=9_000_000,
    started_at_us=2_000_000,
    oldest_chargeable=OpenPayment("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", 500_000, 1_000_000, 41),
    oldest_doubt_us=3_000_000,
    still_seconds=3.0,
    clock=ClockOffset(-1_000, 3_000),
)
NOTHING_WAITS = ChargingFacts(None, [], None)
REPORT = Report(
    STATUS, log_end=100, is_of_this_log=True, lag=Lag(10, 4.5), asked_at_us=11_000_000, charging=NOTHING_WAITS
)


def test_a_status_survives_its_way_over_the_broker() -> None:
    assert decode_status(encode_status(STATUS)) == STATUS
    bare = replace(STATUS, oldest_open=None, oldest_chargeable=None, oldest_doubt_us=None, clock=None)
    assert decode_status(encode_status(bare)) == bare


def test_a_status_of_an_older_projector_can_be_read() -> None:
    older = orjson.loads(encode_status(STATUS))
    for name in ("oldest_chargeable", "oldest_doubt_us", "still_seconds", "clock"):
        del older[name]
    assert decode_status(orjson.dumps(older)).oldest_chargeable is None


@pytest.mark.parametrize(
    ("report", "troubles"),
    [
        (REPORT, []),
        (replace(REPORT, lag=Lag(10, 5.1)), ["10 messages behind, by more than 5 s"]),
        (
            replace(REPORT, lag=Lag(10, 5.1), status=replace(STATUS, still_seconds=5.1)),
            ["10 messages behind, by more than 5 s; its position has not changed for 5 s"],
        ),
        # A position that does not move is none while there is nothing to read.
        (replace(REPORT, lag=Lag(0, 0), status=replace(STATUS, still_seconds=500)), []),
        # Its position means nothing then.
        (
            replace(REPORT, lag=Lag(10, 5.1), is_of_this_log=False),
            ["the read model is of another log than the broker's"],
        ),
        (
            replace(REPORT, charging=ChargingFacts(None, [], WaitingPayment(7, 61.0))),
            [
                "payments wait, the oldest, request 7 for 61 s: the broker has no queue of requests;"
                " a processor makes it when it starts; no processor answers"
            ],
        ),
        (
            replace(REPORT, asked_at_us=604_000_000),
            ["1 payments are in doubt, the oldest for 601 s: see `processor status`"],
        ),
        (
            replace(REPORT, status=replace(STATUS, clock=ClockOffset(-700_000, -600_000))),
            ["the projector's clock is 0.650 s behind the broker's (± 0.050 s)"],
        ),
    ],
)
def test_each_trouble_is_named(report: Report, troubles: list[str]) -> None:
    assert report.troubles(Bounds()) == troubles


def test_bounds_are_the_callers() -> None:
    waiting = replace(REPORT, charging=ChargingFacts(None, [], WaitingPayment(7, 61.0)))
    assert waiting.troubles(Bounds(oldest_seconds_max=62)) == []
    assert len(REPORT.troubles(Bounds(lag_seconds_max=4, doubt_seconds_max=7))) == 2


def test_a_person_reads_it_line_by_line() -> None:
    assert as_table(REPORT, []).splitlines() == [
        "health       fine",
        "position     90 of 100",
        "lag          10 messages, 4.5 s",
        "settled      20",
        "rejected     1",
        "open         3 pending, 2 routed, 1 in doubt",
        "oldest open  4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3, 10.0 s",
        "clock        0.001 s ahead of the broker's (± 0.002 s)",
        "set aside    4 messages that are not valid, since start",
        "file         4096 bytes",
        "checkpoint   88, at 1970-01-01T00:00:09.000000Z",
        "archive      none",
        "uptime       9 s",
    ]


def test_a_program_reads_it_as_json() -> None:
    content = orjson.loads(as_json_text(REPORT, ["behind"]))
    assert (content["healthy"], content["troubles"], content["lag_messages"], content["uptime_seconds"]) == (
        *(False, ["behind"], 10, 9.0),
    )
    assert content["oldest_open"] == {
        "correlation_id": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3",
        "accepted_at": "1970-01-01T00:00:00.500000Z",
        "stored_at": "1970-01-01T00:00:01.000000Z",
        "sequence": 41,
        "age_seconds": 10.0,
    }
    assert content["oldest_chargeable"] == content["oldest_open"]
    assert (content["oldest_doubt_seconds"], content["clock"]) == (
        8.0,
        {"ahead_seconds": 0.001, "uncertainty_seconds": 0.002},
    )
