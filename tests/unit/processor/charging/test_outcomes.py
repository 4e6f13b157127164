"""What each answer proves, row by row."""

import pytest

from tollgate.contract.events import PaymentRouted
from tollgate.processor.charging.outcomes import (
    Answer,
    Charged,
    Duplicate,
    Failed,
    Found,
    LookUp,
    LookupAnswer,
    Missing,
    Next,
    NoAnswer,
    NotReached,
    OutsideContract,
    Refused,
    Reject,
    Release,
    SendAgain,
    Settle,
    StayInDoubt,
    Unknown,
    after_lookup,
    after_sending,
)

ATTEMPT = PaymentRouted("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", 1990, 1, "default", 1_000_001, "why")
CAUSES = [Duplicate(), Failed("500"), Refused("400")]
ANSWERS = [
    Charged(),
    Duplicate(),
    Refused("400"),
    NotReached("429"),
    Failed("500"),
    Unknown("timeout"),
    OutsideContract("401"),
]
LOOKUP_ANSWERS = [Found(1990, 1_000_001), Missing(), NoAnswer("timeout"), OutsideContract("401")]


@pytest.mark.parametrize(
    ("answer", "without_doubt", "in_doubt"),
    [
        (Charged(), Settle(1_000_001), Settle(1_000_001)),
        (Duplicate(), LookUp(), LookUp()),
        (Failed("500"), LookUp(), LookUp()),
        (Refused("400"), LookUp(), LookUp()),
        (NotReached("429"), Release("429"), StayInDoubt("429")),
        (Unknown("timeout"), StayInDoubt("timeout"), StayInDoubt("timeout")),
        (OutsideContract("401"), StayInDoubt("401"), StayInDoubt("401")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_answer_proves_what_the_table_says(answer: Answer, without_doubt: Next, in_doubt: Next) -> None:
    assert after_sending(ATTEMPT, answer, in_doubt=False) == without_doubt
    assert after_sending(ATTEMPT, answer, in_doubt=True) == in_doubt


@pytest.mark.parametrize("cause", CAUSES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("in_doubt", [False, True])
def test_a_found_record_settles_under_its_own_stamp(cause: Answer, in_doubt: bool) -> None:
    assert after_lookup(ATTEMPT, cause, Found(1990, 7), in_doubt=in_doubt) == Settle(7)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("amount_cents", [1989, 1991, 199_000])
def test_a_record_of_another_amount_rejects_and_names_the_provider(cause: Answer, amount_cents: int) -> None:
    step = after_lookup(ATTEMPT, cause, Found(amount_cents, 1_000_001), in_doubt=False)
    assert isinstance(step, Reject)
    assert step.reason.startswith("default ")


@pytest.mark.parametrize("cause", [*CAUSES, None], ids=lambda value: type(value).__name__)
def test_a_record_of_another_amount_does_not_end_a_doubt(cause: Answer | None) -> None:
    assert isinstance(after_lookup(ATTEMPT, cause, Found(1991, 1_000_001), in_doubt=True), StayInDoubt)


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (Found(1990, 7), Settle(7)),
        (Missing(), SendAgain()),
        (NoAnswer("timeout"), StayInDoubt("timeout")),
        (OutsideContract("401"), StayInDoubt("401")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_attempt_in_doubt_is_sent_again_only_when_there_is_no_record_of_it(found: LookupAnswer, step: Next) -> None:
    assert after_lookup(ATTEMPT, None, found, in_doubt=True) == step


def test_a_failure_without_a_record_releases_unless_an_earlier_sending_may_still_charge() -> None:
    assert after_lookup(ATTEMPT, Failed("500"), Missing(), in_doubt=False) == Release("500, no record")
    assert isinstance(after_lookup(ATTEMPT, Failed("500"), Missing(), in_doubt=True), StayInDoubt)


def test_a_refusal_without_a_record_rejects_unless_an_earlier_sending_may_still_charge() -> None:
    assert after_lookup(ATTEMPT, Refused("400"), Missing(), in_doubt=False) == Reject("400")
    assert isinstance(after_lookup(ATTEMPT, Refused("400"), Missing(), in_doubt=True), StayInDoubt)


@pytest.mark.parametrize("in_doubt", [False, True])
def test_a_duplicate_without_a_record_stays_in_doubt(in_doubt: bool) -> None:
    assert isinstance(after_lookup(ATTEMPT, Duplicate(), Missing(), in_doubt=in_doubt), StayInDoubt)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("in_doubt", [False, True])
def test_a_lookup_without_an_answer_proves_nothing(cause: Answer, in_doubt: bool) -> None:
    assert after_lookup(ATTEMPT, cause, NoAnswer("timeout"), in_doubt=in_doubt) == StayInDoubt("timeout")
    assert after_lookup(ATTEMPT, cause, OutsideContract("401"), in_doubt=in_doubt) == StayInDoubt("401")


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda value: type(value).__name__)
def test_no_answer_releases_a_payment_in_doubt(answer: Answer) -> None:
    assert isinstance(after_sending(ATTEMPT, answer, in_doubt=True), Settle | LookUp | StayInDoubt)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("found", LOOKUP_ANSWERS, ids=lambda value: type(value).__name__)
def test_no_lookup_releases_a_payment_in_doubt(cause: Answer, found: LookupAnswer) -> None:
    assert isinstance(after_lookup(ATTEMPT, cause, found, in_doubt=True), Settle | StayInDoubt)
