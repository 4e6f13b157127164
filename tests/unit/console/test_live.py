import orjson

from tollgate.console.live import Recent, render_live, sample_of
from tollgate.console.observation import Observation
from tollgate.console.programs import KnownPrograms
from tollgate.contract.events import ProviderName
from tollgate.contract.read_model_api import Charging, Status, Total
from tollgate.contract.rebuild_progress import RebuildProgress
from tollgate.contract.statistics import ProgramStatistics

CALLS = 'tollgate_provider_call_duration_seconds_bucket{le="%s",provider="default"}'


def observation(second: int, default: int, fallback: int, *programs: ProgramStatistics) -> Observation:
    totals: dict[ProviderName, Total] = {"default": Total(default, default), "fallback": Total(fallback, fallback)}
    status = Status(second, "", default + fallback, 0, 0, 0, 0, None, 0, 0, second, 0, 0)
    return Observation(second * 1_000_000, (), status, Charging(0, 0, 0, [], totals, second), None, second, programs)


def processor(fast: int, slow: int) -> ProgramStatistics:
    return ProgramStatistics(
        "processor", "processor a", {CALLS % "0.1": fast, CALLS % "1.0": fast + slow, CALLS % "+Inf": fast + slow}
    )


def rendered(*observations: Observation) -> dict[str, object]:
    recent = Recent()
    for one in observations:
        recent.add(sample_of(one))
    message: dict[str, object] = orjson.loads(render_live(observations[-1], recent, None, KnownPrograms()))
    return message


def test_a_provider_is_shown_with_its_share_and_answer_times_of_the_last_minute() -> None:
    begun = observation(0, 1_000, 0, processor(1_000, 0))
    shown = rendered(begun, observation(10, 1_010, 30, processor(1_000, 10)))["providers"]
    assert isinstance(shown, list)
    assert (shown[0]["recentShare"], shown[1]["recentShare"]) == (0.25, 0.75)
    # Only the ten slow calls are of the last minute.
    assert shown[0]["p50Ms"] == 550.0
    assert shown[1]["p50Ms"] is None


def test_a_minute_without_charges_has_no_shares() -> None:
    shown = rendered(observation(0, 5, 5), observation(10, 5, 5))["providers"]
    assert isinstance(shown, list)
    assert [one["recentShare"] for one in shown] == [None, None]


def test_a_rebuild_is_shown_while_it_answers_and_is_no_program() -> None:
    rebuild = ProgramStatistics("rebuild", "rebuild", RebuildProgress(30, 10, 3.0).samples())
    message = rendered(observation(0, 1, 0, rebuild))
    assert message["rebuild"] == {"read": 30, "left": 10, "share": 0.75, "secondsLeft": 1.0, "isComparing": False}
    programs = message["programs"]
    assert isinstance(programs, list)
    assert {one["name"] for one in programs} == {"broker", "projector"}
    assert rendered(observation(0, 1, 0))["rebuild"] is None
