"""Events of version 0 decode to the same events as before."""

import json
from importlib import resources

import orjson
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from tests.support.old_events import as_version_0
from tests.unit.contract.event_strategies import EXAMPLES, events
from tollgate.contract.codec import MalformedEventError, decode
from tollgate.contract.events import Event, PaymentRequested
from tollgate.contract.upcasting import upcast

SCHEMAS = {
    path.name.removesuffix(".json"): Draft202012Validator(json.loads(path.read_text()))
    for path in resources.files("tollgate.contract").joinpath("schemas", "v0").iterdir()
}


@given(events)
def test_an_event_of_version_0_decodes_to_the_same_event(event: Event) -> None:
    old = as_version_0(event)
    assert SCHEMAS[type(event).__name__].is_valid(old)
    assert decode(orjson.dumps(old)) == event


def test_every_event_of_version_0_still_has_its_schema() -> None:
    assert sorted(SCHEMAS) == sorted(kind.__name__ for kind in EXAMPLES)


@pytest.mark.parametrize("amount", [19.9, 1990, None, "", "19.9", "19.900", "-1.00", "1,00", "0.00", "1e3", "01.00"])
def test_an_amount_that_version_0_could_not_have_written_is_refused(amount: object) -> None:
    old = {**as_version_0(EXAMPLES[PaymentRequested]), "amount": amount}
    assert not SCHEMAS["PaymentRequested"].is_valid(old)
    with pytest.raises(MalformedEventError, match="amount"):
        decode(orjson.dumps(old))


def test_upcasting_does_not_change_its_input() -> None:
    old = as_version_0(EXAMPLES[PaymentRequested])
    before = dict(old)
    assert upcast(old, 0) != before == old


def test_an_amount_in_cents_does_not_stand_in_for_one_that_version_0_lacks() -> None:
    old = as_version_0(EXAMPLES[PaymentRequested])
    del old["amount"]
    old["amountCents"] = 1990
    with pytest.raises(MalformedEventError, match="missing"):
        decode(orjson.dumps(old))
