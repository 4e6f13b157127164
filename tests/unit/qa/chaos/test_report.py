import asyncio
import json

from qa.chaos.check import COLUMNS
from qa.chaos.coverage import SOMETIMES
from qa.chaos.jobs import Job, run_jobs
from qa.chaos.report import markdown, one_line, summary
from qa.chaos.result import Result, Suite


def result(seed: int, **fields: object) -> Result:
    known: dict[str, object] = {
        "columns": dict.fromkeys(COLUMNS, 0),
        "reached": dict.fromkeys(SOMETIMES, 1),
        "faults_by_kind": {"kill": 2},
        "outcomes": {"ok": 3},
        "payments": 3,
        "charged": 3,
        "healed_after_seconds": 4.0,
    }
    return Result(seed, 12.0, **{**known, **fields})  # type: ignore[arg-type]


def test_a_result_survives_json() -> None:
    one = result(1, offences=["charged twice: a"], kept="/folder")
    assert Result(**json.loads(json.dumps(one.as_json()))) == one


def test_a_run_that_could_not_be_judged_is_not_clean() -> None:
    assert not result(1, trouble="it did not start").clean
    assert "not judged: it did not start" in one_line(result(1, trouble="it did not start"))


def test_a_broken_promise_is_named_with_the_way_to_see_it_again() -> None:
    bad = result(7, columns=dict.fromkeys(COLUMNS, 0) | {"lost": 2}, offences=["lost: a"], kept="/folder")
    text = summary(Suite([result(1), bad]), seconds=60, needs_all=True)
    assert "2 LOST" in text
    assert "make chaos SEED=7 RUNS=1 SECONDS=12" in text
    assert "1 NOT CLEAN" in text


def test_what_no_run_reached_is_named() -> None:
    runs = [result(seed, reached=dict.fromkeys(SOMETIMES, 1) | {"doubt": 0}) for seed in (1, 2)]
    assert Suite(runs).never_reached() == ["doubt"]
    assert "never reached, so not tested: doubt" in summary(Suite(runs), seconds=1, needs_all=True)
    assert "never reached" not in summary(Suite(runs), seconds=1, needs_all=False)


def test_the_tables_have_every_column_and_every_kind() -> None:
    page = markdown(Suite([result(seed) for seed in (1, 2, 3, 9)]))
    assert "seeds 1-3, 9" in page
    for name in (*COLUMNS, *SOMETIMES):
        assert f"| {name} | " in page


async def test_a_run_that_crashes_is_reported() -> None:
    # Too short to be taken by the program: it ends with a usage error.
    async with asyncio.timeout(60):
        ended = [one async for one in run_jobs([Job(1, 0.5, 60)], 1)]
    assert [(job.seed, "the run died" in result.trouble) for job, result in ended] == [(1, True)]
