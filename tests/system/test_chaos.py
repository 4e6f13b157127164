"""`make chaos` in small: its load, its faults and its checker, with a plan of six seconds."""

import pytest

from qa.chaos.clocks import NoClocksError, library
from qa.chaos.plan import Fault, Plan
from qa.chaos.proxy import Mode
from qa.chaos.run import run

SECONDS = 6.0
PLAN = Plan(
    seed=1,
    seconds=SECONDS,
    processor_timeout_seconds=0.7,
    patience_seconds=0.1,
    faults=(
        Fault(0.4, "processor", "simulator-default", 0.8, mood={"lost_answer_ratio": 0.4, "jitter_ms": 100.0}),
        Fault(1.0, "link", "gateway-2-nats-server", 0.8, Mode.BLACKHOLE),
        Fault(1.3, "kill", "projector"),
        Fault(1.6, "link", "processor-default", 0.5, Mode.FORBID),
        Fault(2.0, "processor", "simulator-default", 1.0, mood={"delay_ms": 1_000}),
        Fault(2.2, "kill", "gateway-1"),
        Fault(2.6, "kill", "processor"),
        Fault(3.2, "processor", "simulator-default", 0.7, mood={"error_after_charge_ratio": 1.0}),
        Fault(3.6, "stop", "processor-2", 0.6),
        Fault(4.2, "kill", "nats-server"),
        Fault(4.6, "link", "caddy-gateway-2", 0.4, Mode.CUT),
        Fault(4.8, "kill", "simulator-fallback"),
    ),
)


async def test_a_stack_that_was_broken_in_many_ways_lost_nothing_and_charged_nothing_twice() -> None:
    result = await run(PLAN, 60)
    assert result.clean, "\n".join([result.trouble, f"kept: {result.kept}", *result.faults, *result.offences])
    assert result.payments == SECONDS * 60 + 1
    assert len(result.faults) == len(PLAN.faults)
    for kind in ("fallback used", "doubt, then charged", "repeat answered", "conflict refused"):
        assert result.reached[kind], f"the plan does not reach it: {kind}"


CLOCK_PLAN = Plan(
    seed=2,
    seconds=SECONDS,
    processor_timeout_seconds=0.7,
    patience_seconds=0.1,
    faults=(
        Fault(0.4, "clock", "processor", 1.5, offset_seconds=-3_600),
        Fault(0.6, "clock", "gateway-1", 4.0, offset_seconds=-30),
        Fault(0.8, "clock", "gateway-2", 4.0, offset_seconds=3_600),
        Fault(1.2, "clock", "processor-2", 2.0, offset_seconds=3_600),
        Fault(1.4, "processor", "simulator-default", 1.0, mood={"lost_answer_ratio": 0.4}),
        Fault(2.2, "clock", "projector", 1.0, offset_seconds=5),
        Fault(2.4, "clock", "processor", 1.5, offset_seconds=0.9),
        Fault(3.0, "kill", "processor-2"),
        Fault(3.4, "clock", "projector", 1.0, offset_seconds=-5),
        Fault(4.2, "clock", "processor", 1.0, offset_seconds=-0.9),
        Fault(4.4, "kill", "gateway-2"),
    ),
)


def can_set_clocks() -> bool:
    try:
        return library().exists()
    except NoClocksError:
        return False


@pytest.mark.skipif(not can_set_clocks(), reason="libfaketime is not installed")
async def test_clocks_that_are_set_while_payments_are_charged_break_no_promise() -> None:
    result = await run(CLOCK_PLAN, 60)
    assert result.clean, "\n".join([result.trouble, f"kept: {result.kept}", *result.faults, *result.offences])
    assert result.faults_by_kind["clock"] == sum(fault.kind == "clock" for fault in CLOCK_PLAN.faults)
    assert result.reached["doubt, then charged"]
