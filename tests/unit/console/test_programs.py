from tollgate.console.observation import Observation
from tollgate.console.programs import PROGRAMS_MAX, KnownPrograms
from tollgate.contract.statistics import ProgramStatistics


def at(second: int, *names: str, log_end: int | None = None) -> Observation:
    return Observation(
        second * 1_000_000, programs=[ProgramStatistics("gateway", name, {}) for name in names], log_end=log_end
    )


def test_a_program_that_stops_answering_is_shown_as_silent_and_after_a_while_dropped() -> None:
    known = KnownPrograms()
    known.states(at(0, "gateway-1", "gateway-2"))
    states = {one.name: one for one in known.states(at(30, "gateway-1"))}
    assert states["gateway-1"].is_up
    assert not states["gateway-2"].is_up
    assert "30 s" in states["gateway-2"].detail
    assert [one.name for one in known.states(at(601, "gateway-1"))] == ["gateway-1"]


def test_the_broker_comes_first() -> None:
    assert [one.name for one in KnownPrograms().states(at(0, "gateway-1", log_end=1))] == ["broker", "gateway-1"]


def test_names_are_bounded() -> None:
    known = KnownPrograms()
    for second in range(PROGRAMS_MAX * 2):
        known.states(at(second, f"gateway-{second}"))
    assert len(known.states(at(PROGRAMS_MAX * 2))) == PROGRAMS_MAX
