from dataclasses import replace
from typing import Any

import pytest

from tollgate.console.live import Recent, sample_of
from tollgate.console.observation import Observation
from tollgate.console.programs import KnownPrograms
from tollgate.contract.log_mark import LogState
from tollgate.contract.read_model_api import Charging, DoubtView, Status, Total
from tollgate.contract.read_model_health import Bounds, Lag
from tollgate.contract.replicas import ReplicaStatus
from tollgate.contract.statistics import ProgramStatistics
from tollgate.contract.waiting import ChargingFacts, LogSize, Queue, WaitingPayment
from tollgate.status.answers import Answers, ProgramProcess
from tollgate.status.screen import DOUBTS_SHOWN_MAX, screen
from tollgate.status.view import view_of

NOW_US = 100_000_000
STATUS = Status(
    position=90,
    log_identity="one",
    settled=20,
    rejected=1,
    pending=0,
    routed=0,
    in_doubt=0,
    oldest_open=None,
    poison_events=0,
    file_bytes=4_096,
    committed_position=90,
    committed_at_us=NOW_US,
    started_at_us=1,
)
TOTALS = {"default": Total(15, 1_500_00), "fallback": Total(5, 500_00)}
CHARGING = Charging(0, 0, 0, [], TOTALS, 90)  # type: ignore[arg-type]
REPLICA = ReplicaStatus("processor-1", "", 0, 1.0, None)
QUEUE = Queue(0, 0, 0, 512, 1, 90)
FACTS = ChargingFacts(QUEUE, [REPLICA], None, log_size=LogSize(5_000, 10_000))
OBSERVATION = Observation(NOW_US, (), STATUS, CHARGING, FACTS, 90)
ANSWERS = Answers(OBSERVATION, LogState(1, 90, "one"), Lag(0, 0.0))


def seen(answers: Answers, earlier: Observation | None = None) -> dict[str, Any]:
    recent = Recent()
    for one in (earlier, answers.observation):
        if one is not None:
            recent.add(sample_of(one))
    return view_of(answers, recent, KnownPrograms(), Bounds())


def doubt(number: int) -> DoubtView:
    since_us = NOW_US - 1_000_000 * (700 - number)
    return DoubtView(f"{number:08}-7d26-4d9d-aa19-4dc1c7cf60b3", 19_90, "default", 1, since_us, since_us, "timeout")


def test_when_nothing_is_wrong_the_first_line_is_that() -> None:
    before = replace(OBSERVATION, at_us=NOW_US - 2_000_000, status=replace(STATUS, settled=10))
    view = seen(ANSWERS, before)
    assert view["healthy"]
    assert view["rates"]["accepted"] == 5
    first, second, *_ = screen(view).splitlines()
    assert first.split() == ["health", "fine"]
    assert "5.0/s accepted" in second
    assert "5000 of 10000 bytes" in screen(view)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        (replace(ANSWERS, processes=[ProgramProcess("caddy", "FATAL", "too quickly")]), "caddy is FATAL (too quickly)"),
        (replace(ANSWERS, observation=replace(OBSERVATION, facts=replace(FACTS, replicas=[]))), "no processor answers"),
        (replace(ANSWERS, observation=replace(OBSERVATION, facts=replace(FACTS, log_is_full=True))), "the log is full"),
        (replace(ANSWERS, lag=Lag(7, 6.0)), "7 messages behind, by more than 5 s"),
        (replace(ANSWERS, log=LogState(1, 90, "two")), "the read model is of another log than the broker's"),
        (
            replace(
                ANSWERS,
                observation=replace(
                    OBSERVATION, facts=replace(FACTS, replicas=[replace(REPLICA, obstacle="both are down")])
                ),
            ),
            "processor-1: both are down",
        ),
        (
            replace(
                ANSWERS, observation=replace(OBSERVATION, charging=replace(CHARGING, in_doubt=1, doubts=[doubt(0)]))
            ),
            "1 in doubt for more than 600 s",
        ),
        (
            replace(ANSWERS, observation=replace(OBSERVATION, facts=replace(FACTS, oldest=WaitingPayment(8, 61.0)))),
            "payments wait, the oldest, request 8 for 61 s",
        ),
    ],
)
def test_each_fault_is_named_once_and_first(answers: Answers, fault: str) -> None:
    view = seen(answers)
    assert not view["healthy"]
    assert len([one for one in view["faults"] if one.startswith(fault)]) == 1, view["faults"]
    assert screen(view).splitlines()[0].startswith("FAULT")


def test_what_did_not_answer_is_shown_as_unknown() -> None:
    view = seen(Answers(Observation(NOW_US, ("the broker is away",))))
    assert view["faults"] == ["the broker is away"]
    assert [line.split()[-1] for line in screen(view).splitlines()[2:]] == ["?", "?", "?", "?", "?", "?"]


def test_only_the_oldest_doubts_are_on_the_screen() -> None:
    doubts = [doubt(number) for number in range(DOUBTS_SHOWN_MAX + 3)]
    charging = replace(CHARGING, in_doubt=len(doubts), doubts=doubts)
    text = screen(seen(replace(ANSWERS, observation=replace(OBSERVATION, charging=charging))))
    assert doubts[DOUBTS_SHOWN_MAX - 1].correlation_id in text
    assert doubts[DOUBTS_SHOWN_MAX].correlation_id not in text
    assert "… and 3 more" in text


def test_the_breaker_of_a_provider_comes_from_the_processors_statistics() -> None:
    statistics = ProgramStatistics(
        "processor", "processor-1", {'tollgate_provider_breaker_state{provider="default"}': 2.0}
    )
    text = screen(seen(replace(ANSWERS, observation=replace(OBSERVATION, programs=[statistics]))))
    assert "breaker open" in next(line for line in text.splitlines() if line.startswith("default"))
