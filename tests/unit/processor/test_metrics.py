"""What the events of a message add to the metrics."""

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.processor.charging.charging_environment import OTHER_PAYMENT
from tollgate.contract.events import PaymentProcessed, PaymentRouted, ProviderName
from tollgate.contract.fees import fee_cents, saved_cents
from tollgate.processor.metrics import ProcessorMetrics
from tollgate.runtime.metrics import samples_of

AMOUNTS_CENTS = (1, 1990, 33)


@pytest.mark.parametrize("provider", ["default", "fallback"])
def test_charges_stored_together_count_as_charges_stored_alone(provider: ProviderName) -> None:
    charges = [
        PaymentProcessed(OTHER_PAYMENT.format(number), cents, 1, provider, 1, 2)
        for number, cents in enumerate(AMOUNTS_CENTS)
    ]
    together, alone = CollectorRegistry(), CollectorRegistry()
    ProcessorMetrics(together).stored(charges)
    metrics = ProcessorMetrics(alone)
    for charge in charges:
        metrics.stored([charge])
    found = samples_of(together)
    assert found == samples_of(alone)
    label = f'{{provider="{provider}"}}'
    assert found[f"tollgate_payments_settled_total{label}"] == 3
    assert found[f"tollgate_settled_cents_total{label}"] == sum(AMOUNTS_CENTS)
    assert found[f"tollgate_fees_paid_cents_total{label}"] == sum(fee_cents(provider, one) for one in AMOUNTS_CENTS)
    saved = sum(max(saved_cents(provider, one), 0) for one in AMOUNTS_CENTS)
    assert found["tollgate_fees_saved_cents_total"] == saved


def test_intents_stored_together_are_counted_each() -> None:
    registry = CollectorRegistry()
    intents = [PaymentRouted(OTHER_PAYMENT.format(number), 5, 1, "default", 1, "why") for number in (1, 2)]
    ProcessorMetrics(registry).stored(intents)
    assert samples_of(registry)['tollgate_attempts_routed_total{provider="default"}'] == 2
