"""What the command line refuses before it connects to anything."""

import pytest
from click.testing import CliRunner

from tollgate.processor.charging.doubt_handler import RESEND_SECONDS_MAX
from tollgate.processor.cli import main
from tollgate.processor.operations.batch_resolution import BATCH_MAX
from tollgate.processor.operations.resolve import HOLD_SECONDS, hold_seconds_min

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["not-an-id", "--charged", "--note", "x"], "not a valid UUID"),
        ([ID, "--note", "x"], "--charged or --not-charged is required"),
        ([ID, "--charged"], "--note"),
        ([ID, "--charged", "--note", " "], "1 to 500 characters"),
        ([ID, "--charged", "--note", "x" * 501], "1 to 500 characters"),
        ([ID, "--charged", "--note", "x", "--requested-at", "yesterday"], "not an ISO 8601"),
        ([ID, "--not-charged", "--note", "x", "--requested-at", "2026-01-31T12:00:00Z"], "belongs to --charged"),
        (["--charged", "--note", "x"], "name one payment, or --from, or --provider"),
        ([ID, "--provider", "default", "--older-than", "1", "--charged", "--note", "x"], "name one payment"),
        (["--provider", "default", "--charged", "--note", "x"], "--provider and --older-than belong together"),
        ([ID, "--older-than", "1", "--charged", "--note", "x"], "--provider and --older-than belong together"),
        (["--provider", "other", "--older-than", "1", "--charged", "--note", "x"], "--provider"),
        (["--provider", "default", "--older-than", "1", "--limit", "10001", "--charged", "--note", "x"], "--limit"),
    ],
)
def test_contradictory_arguments_are_refused(arguments: list[str], why: str) -> None:
    result = CliRunner().invoke(main, ["resolve", *arguments])
    assert result.exit_code == 2
    assert why in result.output


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["# nothing"], "0 ids"),
        ([ID, "no-id"], "line 2 is no UUID: 'no-id'"),
        ([f"00000000-0000-4000-8000-{number:012d}" for number in range(BATCH_MAX + 1)], f"1 to {BATCH_MAX}"),
    ],
    ids=["none", "no id", "too many"],
)
def test_an_invalid_file_of_ids_is_refused(lines: list[str], why: str) -> None:
    arguments = ["resolve", "--from", "-", "--charged", "--note", "x"]
    result = CliRunner().invoke(main, arguments, input="\n".join(lines))
    assert result.exit_code == 2
    assert why in result.output


def test_the_shortest_hold_is_longer_than_a_sending_that_was_about_to_begin_can_take() -> None:
    assert hold_seconds_min(15.0) == RESEND_SECONDS_MAX + 15.0 < HOLD_SECONDS
