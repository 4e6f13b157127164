"""The report of a measured scenario, as a table and as JSON."""

from qa.load.cgroups import Usage
from qa.load.compose import base_images
from qa.load.measure import MB, Ends, Found, Limit, as_json, table

FOUND = Found(
    scenario="preview",
    startup_seconds=4.321,
    k6={"payments": {"accepted": 1_000}, "score": {"total_cents": 123_456}},
    usage={
        "nats": Usage(1_500_000, 10, 1, 20_000, 40 * MB, 20 * MB),
        "caddy": Usage(500_000, 10, 0, 0, 30 * MB, 10 * MB),
        "payment-processor-default": Usage(9_000_000, 0, 0, 0, 90 * MB, 80 * MB),
    },
    limits={"nats": Limit(0.4, 58 * MB), "caddy": Limit(0.2, 60 * MB)},
    ends={"nats": Ends(died=2, oom=1)},
)


def test_figures_are_for_each_payment_and_each_container() -> None:
    nats = as_json(FOUND)["containers"]["nats"]
    assert nats["cpu_ms_per_payment"] == 1.5
    assert nats["throttled_share"] == 0.1
    assert (nats["memory_peak_mb"], nats["memory_own_mb"], nats["limit_mb"]) == (40, 20, 58)
    assert (nats["died"], nats["oom"]) == (2, 1)


def test_the_sum_is_of_what_the_limits_are_for() -> None:
    lines = table(as_json(FOUND)).splitlines()
    together = next(line for line in lines if line.startswith("together")).split()
    assert together == ["together", "2.0", "0.6", "70.0", "30.0", "118", "2", "1"]
    assert lines[-1] == "first payment 4.32 s after `up`, score 1234.56"


def test_without_a_payment_there_is_no_cost_of_one() -> None:
    nothing = Found("preview", 1.0, {}, FOUND.usage, FOUND.limits, {})
    assert as_json(nothing)["containers"]["nats"]["cpu_ms_per_payment"] is None
    assert "score unknown" in table(as_json(nothing))


def test_the_images_that_the_stack_is_built_on_are_found_in_its_files() -> None:
    assert {variable: image.split(":")[0] for variable, image in base_images().items()} == {
        "PYTHON_IMAGE": "python",
        "NATS_IMAGE": "nats",
        "CADDY_IMAGE": "caddy",
    }
