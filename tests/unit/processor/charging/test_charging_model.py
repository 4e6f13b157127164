"""At most one charge under kills, delays, repeats, reordering and cut connections: the rule tested in a model.

Each worker has the real handlers and the real state cache. What happens next is decided one step at a time: by
Hypothesis, which finds the shortest run that breaks the rule, and by a seeded Random: for hundreds more runs in
`make test`, for thousands in `make test-soak`.
"""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.unit.processor.charging.charging_environment import Environment
from tollgate.processor.charging.provider_contract import CONTEST, STRICT, Form, Meaning, ProviderContract

RUNS = 300
"""Enough to reach every situation below; it takes 175."""
SOAK_RUNS = 3_000
STEPS_MAX = 60
SITUATIONS = {
    "401 of an ingress, and never charged",
    "404 of an ingress",
    "500 of a proxy, and charged later",
    "502 of a proxy, and charged later",
    "PaymentInDoubt",
    "PaymentProcessed",
    "PaymentRejected",
    "PaymentReleased",
    "charged late",
    "crashed in Append",
    "crashed in CatchUp",
    "crashed in Find",
    "crashed in Reach",
    "crashed in Send",
    "crashed in LookUpPayment",
    "done: PaymentInDoubt",
    "done: PaymentReleased",
    "done: PaymentRequested",
    "duplicate",
    "looked up",
    "looked up while the log was read on",
    "sent to default",
    "sent to fallback",
    "void intent",
    "resolution: PaymentInDoubt",
    "resolution: PaymentProcessed",
    "resolution: PaymentReleased",
}
"""Runs that have not reached all of these have not tested the rule."""

many_runs = pytest.mark.parametrize("runs", [RUNS, pytest.param(SOAK_RUNS, marks=pytest.mark.soak)])


class ChargingMachine(RuleBasedStateMachine):
    """Three workers, one payment. One rule, not one for each happening: Hypothesis leaves out some of several rules."""

    def __init__(self) -> None:
        super().__init__()
        self.environment = Environment()

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        self.environment.happen(lambda options: data.draw(st.sampled_from(options)))

    @invariant()
    def the_rule_holds(self) -> None:
        self.environment.check()

    def teardown(self) -> None:
        try:
            self.environment.heal()
            self.environment.check()
        finally:
            self.environment.close()


def test_a_payment_is_charged_at_most_once_under_any_faults_and_ends_when_they_stop() -> None:
    run_state_machine_as_test(
        ChargingMachine,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def seeded_runs(
    make_environment: Callable[..., Environment],
    runs: int,
    *,
    is_forgetful: bool = False,
    contract: ProviderContract = CONTEST,
) -> set[str]:
    """Makes `runs` runs to their ends; returns the situations that were reached in them."""
    reached_situations: set[str] = set()
    for seed in range(runs):
        random = Random(seed)
        environment = make_environment(is_forgetful=is_forgetful, contract=contract)
        try:
            for _ in range(random.randrange(STEPS_MAX)):
                environment.happen(random.choice)
                environment.check()
            environment.heal()
            environment.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        reached_situations |= environment.reached_situations
    return reached_situations


@many_runs
def test_it_is_charged_at_most_once_in_seeded_runs(make_environment: Callable[..., Environment], runs: int) -> None:
    assert seeded_runs(make_environment, runs) >= SITUATIONS


@many_runs
def test_it_is_charged_at_most_once_by_workers_that_have_dropped_its_end(
    make_environment: Callable[..., Environment], runs: int
) -> None:
    assert seeded_runs(make_environment, runs, is_forgetful=True) >= SITUATIONS


@many_runs
def test_it_is_charged_at_most_once_by_providers_of_which_little_is_known(
    make_environment: Callable[..., Environment], runs: int
) -> None:
    # Nothing but an operator's hold lets an attempt go, and no answer rejects.
    reached_situations = seeded_runs(make_environment, runs, contract=STRICT)
    assert reached_situations >= SITUATIONS - {"PaymentRejected"}
    assert "PaymentRejected" not in reached_situations


@pytest.mark.parametrize(
    ("taken_for_own", "missing_forms", "what"),
    [
        pytest.param({(502, Form.OTHER): Meaning.FAILED}, {Form.EMPTY}, "charged twice", id="502 of a proxy"),
        pytest.param(
            {(500, Form.OTHER): Meaning.FAILED},
            {Form.EMPTY},
            "charged twice",
            id="500 of a proxy",
            marks=pytest.mark.soak,
        ),
        pytest.param({}, set(Form), "charged twice", id="404 of an ingress", marks=pytest.mark.soak),
        pytest.param(
            {(401, Form.OTHER): Meaning.REFUSED}, {Form.EMPTY}, "no provider refused it", id="401 of an ingress"
        ),
    ],
)
def test_a_contract_that_takes_a_proxys_answer_for_the_providers_own_is_caught(
    make_environment: Callable[..., Environment],
    taken_for_own: dict[tuple[int, Form], Meaning],
    missing_forms: set[Form],
    what: str,
) -> None:
    lax = ProviderContract("lax", {**CONTEST.payment_answers, **taken_for_own}, frozenset(missing_forms))
    with pytest.raises(AssertionError, match=what):
        seeded_runs(make_environment, SOAK_RUNS, contract=lax)
