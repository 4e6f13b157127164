import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qa.load.audit import Audit, Sent
from qa.load.comparison import Comparison
from qa.load.generator import Tally
from qa.load.kills import Kill, Poll
from qa.load.processes import Usage
from qa.load.provider_records import Summary, Totals
from qa.load.report import IDS_LISTED_MAX, as_json, table
from qa.load.result import Check, Drain, Finding, Offered, Result
from qa.load.window import Window

BEGAN = datetime(2025, 7, 5, 12, 0, tzinfo=UTC)
WINDOW = Window(BEGAN, BEGAN + timedelta(seconds=10))
PROVIDER_RECORDS = Summary(Totals(2, 3980), Totals(1, 1990))
SHORT = Summary(Totals(1, 1990), Totals(1, 1990))
CLEAN = Audit((), (), (), (), ())
MIB = 1024 * 1024


def compared(
    product: Summary | None = PROVIDER_RECORDS, provider_records: Summary | None = PROVIDER_RECORDS, **headers: str
) -> Comparison:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return Comparison(WINDOW, 0.0, 0.1, product, provider_records, found, "" if product else "gateway: silent")


def result(**changes: Any) -> Result:
    tally = Tally(offered=3)
    for seconds in (tally.from_schedule, tally.from_send, tally.lateness):
        seconds.extend([0.001, 0.002, 0.003])
    parts: dict[str, Any] = {
        "offered": Offered(550, 60, 100, "19.90", BEGAN.isoformat()),
        "tally": tally,
        "sent": Sent(accepted={"a": 1990, "b": 1990, "c": 1990}),
        "checks": [Check(10.0, 0.1, compared(tollgate_settled="true"))],
        "kills": [],
        "polls": [],
        "drain": Drain(0.4, complete=True, last=compared()),
        "totals_faults": [],
        "audit": CLEAN,
        "audit_skipped": "",
        "usage": {"gateway-1": Usage(0.3, 50 * MIB, 40 * MIB, 2), "nats": Usage(0.6, 20 * MIB, None, 1)},
        "sampled_seconds": 60.0,
        "generator_cpu_seconds": 0.6,
    }
    return Result(**(parts | changes))


def test_a_clean_result_has_no_fault_and_reports_it() -> None:
    assert result().faults() == []
    assert table(result()).splitlines()[-1].endswith("every promise kept")


def test_the_table_names_each_figure() -> None:
    lines = {line[:16].strip(): line[16:].split() for line in table(result()).splitlines()}
    assert lines["from schedule"] == ["2.00", "3.00", "3.00", "3.00"]
    assert lines["gateway-1"] == ["100.000", "0.5", "50.0", "40.0", "2"]
    assert lines["nats"] == ["200.000", "1.0", "20.0", "-", "1"]
    assert lines["together"] == ["300.000", "1.5", "70.0"]
    assert lines["generator"][0] == "200.000"
    assert "killed" not in lines


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audit": Audit(("a",), (), (), (), ())}, "1 accepted and lost"),
        ({"audit": Audit((), ("a", "b"), (), (), ())}, "2 charged twice"),
        ({"audit": Audit((), (), ("x",), (), ())}, "1 never sent and yet charged"),
        ({"audit": Audit((), (), (), ("a",), ())}, "1 charged with a wrong amount"),
        ({"audit": Audit((), (), (), (), ("r",))}, "1 refused and yet charged"),
        ({"totals_faults": ["the provider records hold nothing"]}, "the provider records hold nothing"),
        ({"audit": None, "totals_faults": ["the provider records hold nothing"]}, "the provider records hold nothing"),
        ({"checks": [Check(10, 0.1, compared(SHORT))]}, "1 checks where the summary differs"),
        ({"checks": [Check(10, 0.1, compared(None))]}, "1 checks without an answer"),
        ({"drain": Drain(30, complete=False, last=compared(SHORT))}, "1 of 3 accepted payments not in the summary"),
        ({"drain": Drain(30, complete=False, last=compared(None))}, "3 of 3 accepted payments not in the summary"),
        ({"sent": Sent(refused={"r": 1}), "tally": Tally(refusals=["422 why"])}, "1 payments refused: 422 why"),
        ({"tally": Tally(skipped=4)}, "4 payments never sent"),
        ({"kills": [Kill("nats", 5, ())]}, "nats was not there"),
        ({"polls": [Poll(60.0, equal=False)]}, "not recovered 60.0 s"),
        ({"polls": [Poll(1.0, equal=False), Poll(10.2, equal=True)]}, "recovered only 10.2 s"),
    ],
)
def test_each_broken_promise_is_a_fault(changes: dict[str, Any], words: str) -> None:
    (fault,) = result(**changes).faults()
    assert words in fault
    assert table(result(**changes)).splitlines()[-1].startswith("FAULT")


KILLED: Sequence[Kill] = [Kill("nats", 8.0, (1,))]


def test_after_a_kill_an_unsettled_difference_or_no_answer_is_recovery() -> None:
    assert Check(10, 0.1, compared(SHORT, tollgate_settled="false")).finding(KILLED) is Finding.RECOVERING
    assert Check(10, 0.1, compared(None)).finding(KILLED) is Finding.RECOVERING


def test_a_difference_that_calls_itself_settled_is_never_excused() -> None:
    assert Check(10, 0.1, compared(SHORT, tollgate_settled="true")).finding(KILLED) is Finding.DIFFERS
    assert Check(10, 0.1, compared(SHORT)).finding(KILLED) is Finding.DIFFERS


def test_without_a_kill_an_unsettled_difference_is_one_too() -> None:
    assert Check(10, 0.1, compared(SHORT, tollgate_settled="false")).finding([]) is Finding.DIFFERS


def test_kills_and_recovery_are_reported() -> None:
    text = table(result(kills=KILLED, polls=[Poll(0.2, equal=False), Poll(1.5, equal=True)]))
    assert "nats at 8.0 s" in text
    assert "1.50 s after the last kill (10 s allowed, 2 polls)" in text


def test_a_skipped_audit_has_its_reason() -> None:
    assert "skipped: no list" in table(result(audit=None, audit_skipped="no list"))


def test_the_json_is_json_and_keeps_headers_and_differences() -> None:
    told = json.loads(json.dumps(as_json(result(checks=[Check(10, 0.1, compared(SHORT, tollgate_open="3"))]))))
    (check,) = told["checks"]
    assert check["headers"] == {"tollgate-open": "3"}
    assert check["finding"] == "differs"
    assert check["difference"]["default"] == {"count": -1, "cents": -1990}
    assert check["from"] == "2025-07-05T12:00:00.000Z"
    assert told["inconsistent"] == 1
    assert told["programs"]["nats"]["core_percent"] == pytest.approx(1.0)


def test_a_long_list_of_ids_is_cut_but_counted() -> None:
    ids = tuple(f"{number:04}" for number in range(IDS_LISTED_MAX + 1))
    lost = as_json(result(audit=Audit(ids, (), (), (), ())))["audit"]["lost"]
    assert (lost["count"], len(lost["ids"])) == (IDS_LISTED_MAX + 1, IDS_LISTED_MAX)
