"""The status of charging as a table and as JSON."""

import json

from tollgate.contract.clock_offset import ClockOffset
from tollgate.contract.read_model_api import Charging, DoubtView, Total
from tollgate.contract.replicas import ReplicaStatus
from tollgate.contract.waiting import ChargingFacts, Queue, WaitingPayment
from tollgate.processor.operations.charging_health import ChargingHealth, assess
from tollgate.processor.operations.status import render_json, render_table

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
DOUBT = DoubtView(ID, 1990, "default", 2, 1, 2_000_000, "no answer in time")
TOTALS = {"default": Total(3, 6000), "fallback": Total(1, 2000)}
CHARGING = Charging(5, 4, 3, [DOUBT], TOTALS, 77)  # type: ignore[arg-type]
QUEUE = Queue(waiting=7, under_way=8, redelivered=9, under_way_max=10_000, pulls=1, floor=60)
SIDE_QUEUES = {
    "doubts-default": Queue(waiting=2, under_way=1, redelivered=1, under_way_max=100_000, pulls=1, floor=60),
}
REPLICA = ReplicaStatus("one-1", "", 3, 0.4, ClockOffset(-1_000, 1_000))
STUCK = ReplicaStatus("two-2", "default has been down for 9 s", 0, None, None)
WELL = ChargingHealth([], [REPLICA])


def test_the_table_has_counts_fees_and_queue_and_each_doubt_with_its_age() -> None:
    assert render_table(CHARGING, QUEUE, SIDE_QUEUES, WELL, 3_725_000_000) == "\n".join(
        [
            "health     fine",
            "replica    one-1: 3 in hand, one ended 0 s ago, clock 0.000 s ahead of the broker's (± 0.001 s)",
            "queue      7 waiting, 8 under way, 9 redelivered",
            "queue      2 waiting, 1 under way, 1 redelivered, in doubts-default",
            "payments   5 pending, 4 routed, 3 in doubt",
            "default    3 charged, 60.00",
            "fallback   1 charged, 20.00",
            "fees       6.00 paid, 6.00 saved against charging all at the most expensive provider",
            "",
            "in doubt                                      amount  provider   attempt         for  why",
            f"{ID}           19.90  default          2    1h02m03s  no answer in time",
            "… and 2 more that are younger",
        ]
    )


def test_without_a_doubt_there_is_no_list_of_doubts() -> None:
    table = render_table(Charging(0, 0, 0, [], TOTALS, 1), QUEUE, SIDE_QUEUES, WELL, 0)  # type: ignore[arg-type]
    assert len(table.splitlines()) == 8


def test_the_json_has_the_same_figures_and_exact_cents() -> None:
    shown = json.loads(render_json(CHARGING, QUEUE, SIDE_QUEUES, WELL, 3_500_000))
    assert shown["payments"] == {
        "pending": 5,
        "routed": 4,
        "inDoubt": 3,
        "charged": {
            "default": {"count": 3, "amount_cents": 6000},
            "fallback": {"count": 1, "amount_cents": 2000},
        },
    }
    assert shown["fees"] == {"paidCents": 600, "savedCents": 600}
    assert shown["doubtsNotListed"] == 2
    assert shown["sideQueues"] == {"doubts-default": {"waiting": 2, "under_way": 1, "redelivered": 1}}
    assert shown["backlog"] == {"waiting": 7, "under_way": 8, "redelivered": 9}
    assert (shown["healthy"], shown["troubles"]) == (True, [])
    assert shown["replicas"] == [
        {
            "name": "one-1",
            "obstacle": "",
            "inHand": 3,
            "endedSecondsAgo": 0.4,
            "clock": {"ahead_seconds": 0.0, "uncertainty_seconds": 0.001},
        }
    ]
    (doubt,) = shown["doubts"]
    assert (doubt["since"], doubt["ageSeconds"]) == ("1970-01-01T00:00:02.000000Z", 1.5)


def test_an_age_is_never_below_zero() -> None:
    assert json.loads(render_json(CHARGING, QUEUE, SIDE_QUEUES, WELL, 0))["doubts"][0]["ageSeconds"] == 0


def test_a_doubt_that_an_operator_holds_is_marked() -> None:
    held = DoubtView(ID, 1990, "default", 2, 1, 2_000_000, "no answer in time", is_held=True)
    table = render_table(Charging(0, 0, 1, [held], TOTALS, 1), QUEUE, SIDE_QUEUES, WELL, 0)  # type: ignore[arg-type]
    assert table.endswith("held by an operator; no answer in time")


BOUNDS = {"oldest_seconds_max": 60.0, "doubt_seconds_max": 600.0}
NOTHING_WAITS = ChargingFacts(QUEUE, [REPLICA], None)


def test_charging_is_healthy_while_nothing_waits_too_long() -> None:
    facts = ChargingFacts(QUEUE, [REPLICA, STUCK], WaitingPayment(61, 59.9))
    assert assess(CHARGING, facts, 602_000_000, **BOUNDS).troubles == []


def test_a_payment_that_waits_too_long_is_named_with_the_cause_and_each_replica_with_its_obstacle() -> None:
    facts = ChargingFacts(QUEUE, [REPLICA, STUCK], WaitingPayment(61, 60.1))
    health = assess(CHARGING, facts, 2_000_000, **BOUNDS)
    assert health.troubles == [
        "payments wait, the oldest, request 61 for 60 s; 15 in the queue: two-2: default has been down for 9 s"
    ]
    table = render_table(CHARGING, QUEUE, SIDE_QUEUES, health, 2_000_000).splitlines()
    assert table[0] == f"health     {health.troubles[0]}"
    assert table[2].endswith(
        "two-2: 0 in hand, none has ended since its start, clock unknown; default has been down for 9 s"
    )


def test_a_doubt_older_than_the_bound_is_named() -> None:
    (trouble,) = assess(CHARGING, NOTHING_WAITS, 602_100_000, **BOUNDS).troubles
    assert trouble == f"1 or more in doubt for more than 600 s, {ID} for 600 s: no answer in time"
    (trouble,) = assess(Charging(0, 0, 1, [DOUBT], TOTALS, 1), NOTHING_WAITS, 602_100_000, **BOUNDS).troubles  # type: ignore[arg-type]
    assert trouble.startswith("1 in doubt for more than 600 s")


def test_without_the_read_model_the_queue_and_the_replicas_are_shown_and_charging_is_not_healthy() -> None:
    health = assess("the projector is away", NOTHING_WAITS, 0, **BOUNDS)
    assert health.troubles == ["what is charged and in doubt is unknown: the projector is away"]
    assert len(render_table("the projector is away", QUEUE, SIDE_QUEUES, health, 0).splitlines()) == 4
    shown = json.loads(render_json("the projector is away", QUEUE, SIDE_QUEUES, health, 0))
    assert set(shown) == {"healthy", "troubles", "replicas", "backlog", "sideQueues"}
