"""The benchmark of the stages: what it counts, how it searches, and what it writes."""

import asyncio
import json
import os
import platform
import threading
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest

from qa.bench.stages.counters import Used, differences, used_by, wake_ups
from qa.bench.stages.interpreter import interpreter, optimisations
from qa.bench.stages.limits import Section
from qa.bench.stages.measure import HIGHEST, IDLE, Run, highest, is_held, of_programs, search
from qa.bench.stages.payer import Paid
from qa.bench.stages.summary import BEGIN, END, as_json, as_markdown, chart, placed, summarise

PROJECT = Path(__file__).parents[4]


def test_a_wait_of_a_thread_is_a_wake_up() -> None:
    before = wake_ups(os.getpid())
    asked, answered = threading.Semaphore(0), threading.Semaphore(0)

    def answer() -> None:
        for _ in range(50):
            asked.acquire()
            answered.release()

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(49):
        asked.release()
        answered.acquire()
    # Read while the thread waits for the last one: those of an ended thread are lost.
    assert wake_ups(os.getpid()) - before >= 49
    asked.release()
    thread.join()


def test_only_voluntary_switches_of_all_threads_count(tmp_path: Path) -> None:
    for thread, count in ((7, 3), (8, 4)):
        folder = tmp_path / "7" / "task" / str(thread)
        folder.mkdir(parents=True)
        (folder / "status").write_text(
            f"Name:\tx\nvoluntary_ctxt_switches:\t{count}\nnonvoluntary_ctxt_switches:\t90\n"
        )
    assert wake_ups(7, tmp_path) == 7


def test_cpu_of_a_process_is_counted() -> None:
    process = psutil.Process()
    before = used_by([process])
    began = time.process_time()
    while time.process_time() - began < 0.1:
        sum(range(10_000))
    # The kernel counts in steps of 10 ms; the other reading of the same clock bounds it on both sides.
    assert 0.08 <= (used_by([process]) - before).cpu_seconds <= time.process_time() - began + 0.02


def test_a_program_that_was_restarted_counts_from_its_start() -> None:
    assert differences({"a": Used(1.0, 10)}, {"a": Used(1.5, 14), "b": Used(0.25, 2)}) == {
        "a": Used(0.5, 4),
        "b": Used(0.25, 2),
    }


def test_replicas_count_together_and_providers_apart() -> None:
    used = {
        "gateway-1": Used(0.1, 100),
        "gateway-2": Used(0.3, 300),
        "caddy": Used(0.2, 50),
        "simulator-default": Used(5.0, 900),
        "supervisord": Used(9.0, 900),
    }
    section = of_programs(used, 100)
    assert section["cpu_ms gateway"] == pytest.approx(4.0)
    assert section["wake_ups gateway"] == pytest.approx(4.0)
    assert section["cpu_ms"] == pytest.approx(6.0)
    assert section["wake_ups"] == pytest.approx(4.5)
    assert section["providers_cpu_ms"] == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("limit", "first", "tried"),
    [
        (1300, 1000, [1000, 1250, 1562.5]),
        (700, 1000, [1000, 800, 640]),
        (9000, 1000, [1000, 1250, 1562.5, 1953.125]),
        (0, 1000, [1000, 800, 640, 512]),
    ],
)
def test_the_search_ends_at_the_limit_or_after_its_steps(limit: float, first: float, tried: list[float]) -> None:
    rates: list[float] = []

    async def load(rate: float) -> Section:
        rates.append(rate)
        return {"held": float(rate <= limit)}

    asyncio.run(search(load, first, 4))
    assert rates == tried


def test_the_highest_rate_is_one_that_was_held_and_fast_enough() -> None:
    loads: list[Section] = [
        {"rate": 400, "held": 1, "due_p99_ms": 20},
        {"rate": 800, "held": 1, "due_p99_ms": 51},
        {"rate": 1000, "held": 0, "due_p99_ms": 10},
    ]
    assert highest(loads, float("inf")) == loads[1]
    assert highest(loads, 50) == loads[0]
    assert highest(loads, 5) is None


@pytest.mark.parametrize(("accepted", "settled_seconds", "held"), [(10, 2.0, True), (9, 0.1, False), (10, 2.1, False)])
def test_a_rate_is_held_when_all_is_accepted_and_settled_in_time(
    accepted: int, settled_seconds: float, held: bool
) -> None:
    paid = Paid(10, accepted, p50_ms=1, p99_ms=1, due_p99_ms=1, due_end=0, cpu_seconds=0)
    assert is_held(paid, settled_seconds) is held


def run(cpu_ms: float) -> Run:
    load = {"rate": 400.0, "held": 1.0, "cpu_ms": cpu_ms, "cpu_ms caddy": 1.0, "cpu_ms gateway": cpu_ms - 1.0}
    return {
        "empty uvicorn handler": {"cpu_ms": 0.3},
        IDLE: {"core_percent": 2.0, "core_percent caddy": 0.5},
        "400/s": load | {"empty_cpu_ms": 0.3, "wake_ups caddy": 4.0},
        HIGHEST: load | {"rate": 1000.0, "empty_cpu_ms": 0.2},
    }


def test_figures_are_the_median_and_the_range_of_the_runs() -> None:
    runs = [run(3.0), run(2.0), run(7.0)]
    assert str(summarise(runs)["400/s"]["cpu_ms"]) == "3.00 (2.00 to 7.00)"
    text = as_markdown(runs, {"Cores": "2"}, "plot.svg")
    assert "| 400/s | 400 | 1.00 | 3.00 (2.00 to 7.00) |" in text
    assert "| 400/s | 1.00 | 2.00 (1.00 to 6.00) |" in text
    assert "\n- empty uvicorn handler: cpu ms 0.300\n" in text
    assert json.loads(as_json(runs, {}))["summary"]["400/s"]["cpu_ms"] == {"median": 3.0, "min": 2.0, "max": 7.0}


def test_a_section_that_a_run_lacks_comes_from_the_others() -> None:
    short = {name: figures for name, figures in run(3.0).items() if name != HIGHEST}
    assert summarise([short, run(2.0)])[HIGHEST]["cpu_ms"].middle == 2.0


def test_the_plot_has_a_bar_for_each_program_and_the_empty_handler() -> None:
    root = ET.fromstring(chart([run(3.0)]))  # noqa: S314 - made here
    bars = [one for one in root if one.tag.endswith("rect")]
    assert len(bars) == 1 + 2 * (2 + 1)
    gateway, empty = float(bars[2].attrib["height"]), float(bars[3].attrib["height"])
    assert gateway / empty == pytest.approx(2.0 / 0.3, rel=0.01)


def test_only_the_figures_of_a_page_are_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert placed(page, "new") == f"before\n{BEGIN}\n\nnew\n{END}\nafter\n"
    assert placed(placed(page, "new"), "newer") == placed(page, "newer")
    with pytest.raises(ValueError, match="lacks"):
        placed("nothing", "new")


def test_the_page_of_the_documentation_has_a_place_for_figures() -> None:
    assert "new" in placed((PROJECT / "docs/explanation/performance.md").read_text(), "new")


@pytest.mark.parametrize(
    ("config_args", "text"),
    [
        ("'--enable-optimizations' '--with-lto' 'CFLAGS=-g -O2'", "configured with --enable-optimizations --with-lto"),
        ("'--with-lto=thin' '--enable-optimizations'", "configured with --enable-optimizations --with-lto"),
        ("'--prefix=/usr' 'CFLAGS=--enable-optimizations'", "configured without --enable-optimizations"),
        ("'--enable-optimizations=no'", "configured without --enable-optimizations"),
    ],
)
def test_the_conditions_name_the_optimisations_of_the_interpreter(config_args: str, text: str) -> None:
    assert optimisations(config_args) == text
    assert interpreter().startswith(f"{platform.python_version()}, configured with")
