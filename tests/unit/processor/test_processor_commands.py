"""What the command line refuses before it asks anybody."""

import pytest
from click.testing import CliRunner

from processor.cli import main
from processor.doubts import RESEND_SECONDS_MAX
from processor.resolving import HOLD_SECONDS, hold_seconds_min

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["not-an-id", "--charged", "--note", "x"], "not a valid UUID"),
        ([ID, "--note", "x"], "say --charged or --not-charged"),
        ([ID, "--charged"], "--note"),
        ([ID, "--charged", "--note", " "], "1 to 500 characters"),
        ([ID, "--charged", "--note", "x" * 501], "1 to 500 characters"),
        ([ID, "--charged", "--note", "x", "--requested-at", "yesterday"], "not an ISO 8601"),
        ([ID, "--not-charged", "--note", "x", "--requested-at", "2026-01-31T12:00:00Z"], "belongs to --charged"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused(arguments: list[str], why: str) -> None:
    result = CliRunner().invoke(main, ["resolve", *arguments])
    assert result.exit_code == 2
    assert why in result.output


def test_a_hold_is_longer_than_a_sending_that_was_about_to_begin_can_take() -> None:
    assert hold_seconds_min(15.0) == RESEND_SECONDS_MAX + 15.0 < HOLD_SECONDS
