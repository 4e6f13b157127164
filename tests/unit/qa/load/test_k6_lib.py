"""The arithmetic of the k6 scenarios, run by k6 itself: money to the cent, and the benchmark's score."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

K6 = Path(__file__).parents[4] / "qa" / "load" / "k6"


@pytest.fixture(scope="module")
def k6() -> str:
    found = subprocess.run([str(K6 / "run"), "--find"], capture_output=True, text=True, check=False).stdout.strip()
    if not found:
        pytest.skip("k6 is not installed: go install go.k6.io/k6@latest")
    return found


def evaluate(k6: str, folder: Path, expressions: list[str]) -> list[Any]:
    """What each JavaScript expression is, or `Error: …`; it may use the modules `money` and `score`."""
    script = folder / "evaluate.js"
    tries = ", ".join(f"() => {expression}" for expression in expressions)
    script.write_text(
        f"import * as money from '{K6}/lib/money.js';\n"
        f"import {{ score }} from '{K6}/lib/score.js';\n"
        "export default function () {}\n"
        "function attempt(f) { try { return f(); } catch (fault) { return String(fault); } }\n"
        "export function handleSummary() {\n"
        f"  return {{ stdout: JSON.stringify([{tries}].map(attempt)) }};\n"
        "}\n"
    )
    ended = subprocess.run(
        [k6, "run", "--address", "", "--no-usage-report", "--quiet", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    values: list[Any] = json.loads(ended.stdout)
    return values


def test_amounts_are_read_from_their_text_and_added_as_cents(k6: str, tmp_path: Path) -> None:
    amounts = {"19.90": 1990, "19.9": 1990, "0": 0, "0.07": 7, "1989999.00000": 198_999_900, "-3.05": -305}
    assert evaluate(k6, tmp_path, [f"money.centsOf('{text}')" for text in amounts]) == list(amounts.values())


def test_what_is_no_whole_number_of_cents_is_refused_and_not_rounded(k6: str, tmp_path: Path) -> None:
    texts = ["19.901", "19.900000000000002", "", "1,50", "NaN", "undefined", "99999999999999.99"]
    for value in evaluate(k6, tmp_path, [f"money.centsOf('{text}')" for text in texts]):
        assert str(value).startswith("Error: ")


def test_cents_are_written_with_two_decimals(k6: str, tmp_path: Path) -> None:
    cents = {1990: "19.90", 5: "0.05", 0: "0.00", 100: "1.00", -199: "-1.99", -5: "-0.05"}
    assert evaluate(k6, tmp_path, [f"money.decimalText({number})" for number in cents]) == list(cents.values())


def test_summaries_of_both_sides_are_read_without_a_float(k6: str, tmp_path: Path) -> None:
    gateway = '{"default":{"totalRequests":3,"totalAmount":59.70},"fallback":{"totalRequests":0,"totalAmount":0}}'
    provider = '{"totalRequests" : 3, "totalAmount" : 59.7, "totalFee": 2.985, "feePerTransaction": 0.05}'
    fractional = '{"totalRequests": 3, "totalAmount": 59.699999999999996}'
    values = evaluate(
        k6,
        tmp_path,
        [
            f"money.totalsOf(money.parseSummary('{gateway}').default)",
            f"money.totalsOf(money.parseSummary('{provider}'))",
            f"money.totalsOf(money.parseSummary('{fractional}'))",
            "money.totalsOf(money.parseSummary('{}'))",
        ],
    )
    assert values[:2] == [{"payments": 3, "cents": 5970}] * 2
    assert all(str(value).startswith("Error: ") for value in values[2:])


def test_the_score_is_profit_with_a_bonus_for_speed_and_a_fine_for_differences(k6: str, tmp_path: Path) -> None:
    charged = "charged: [{cents: 100000, feeBasisPoints: 500}, {cents: 20000, feeBasisPoints: 1500}]"
    fast, edge, slow, fined, charged_more = evaluate(
        k6,
        tmp_path,
        [
            f"score({{{charged}, p99Ms: 2.551, inconsistent: false, lag: 0}})",
            f"score({{{charged}, p99Ms: 10, inconsistent: false, lag: 0}})",
            f"score({{{charged}, p99Ms: 300, inconsistent: false, lag: 7}})",
            f"score({{{charged}, p99Ms: 300, inconsistent: true, lag: 0}})",
            f"score({{{charged}, p99Ms: 300, inconsistent: false, lag: -1}})",
        ],
    )
    assert (fast["gross_cents"], fast["fees_cents"], fast["profit_cents"]) == (120_000, 8_000, 112_000)
    # (11 - 2.55) * 2 % is 16.9 %, and the final rounds it.
    assert (fast["bonus_percent"], fast["total_cents"]) == (17, 131_040)
    assert (edge["bonus_percent"], edge["total_cents"]) == (2, 114_240)
    assert (slow["bonus_percent"], slow["total_cents"], slow["disqualified"]) == (0, 112_000, False)
    assert (fined["fine_percent"], fined["total_cents"]) == (35, 72_800)
    assert charged_more["disqualified"] is True
