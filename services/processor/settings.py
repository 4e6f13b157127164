"""The processor's settings, from the environment."""

from typing import Any

import environ

from tollgate.contract.events import ProviderName
from tollgate.processor.charging.provider import Provider
from tollgate.processor.charging.provider_contract import CONTEST, CONTRACTS, ProviderContract
from tollgate.processor.health.lease import INTERVAL_SECONDS_MAX
from tollgate.processor.routing import Policy
from tollgate.runtime.credential import (
    Credential,
    default_header,
    default_header_file,
    either,
    fallback_header,
    fallback_header_file,
)
from tollgate.runtime.settings import (
    ServiceSettings,
    default_provider_url,
    fallback_provider_url,
    optional_seconds,
    seconds,
    setting,
    whole_number,
)


def _contract(what: str) -> Any:
    def convert(name: str) -> ProviderContract:
        if name not in CONTRACTS:
            raise ValueError(name)
        return CONTRACTS[name]

    return setting(CONTEST.name, convert, " or ".join(CONTRACTS), what=what)


@environ.config(prefix="")
class Settings(ServiceSettings):
    """Times are seconds."""

    payment_processor_url_default: str = default_provider_url()
    payment_processor_url_fallback: str = fallback_provider_url()
    payment_processor_contract_default: ProviderContract = _contract(
        "The contract of default: `contest`, or `strict` for a provider of which little is known."
    )
    payment_processor_contract_fallback: ProviderContract = _contract("The contract of fallback.")
    payment_processor_header_default: Credential | None = default_header()
    payment_processor_header_fallback: Credential | None = fallback_header()
    payment_processor_header_file_default: Credential | None = default_header_file()
    payment_processor_header_file_fallback: Credential | None = fallback_header_file()
    processor_concurrency: int = whole_number(
        640, at_least=2, at_most=10_000, what="Payments that one replica works on at once; the rest waits in the log."
    )
    processor_timeout_seconds: float = seconds(
        15.0, at_least=0.1, at_most=300, what="How long a call to a provider may take before the attempt is in doubt."
    )
    processor_health_interval_seconds: float = seconds(
        5.0,
        at_least=0.1,
        at_most=INTERVAL_SECONDS_MAX,
        what="The shortest interval between health checks of a provider, by all replicas together; the same for all.",
    )
    processor_patience_seconds: float = seconds(
        15.0,
        at_least=0.1,
        at_most=86_400,
        what="How much later a payment may settle to be charged at the lower fee.",
    )
    processor_outage_patience_seconds: float | None = optional_seconds(
        at_least=0.1,
        at_most=86_400,
        what="The same while the provider with the lower fee is down; if not set, `PROCESSOR_PATIENCE_SECONDS`.",
    )
    processor_failures_to_open: int = whole_number(
        3, at_least=1, at_most=1_000, what="How many failures in a row open a provider's circuit breaker."
    )
    processor_probe_seconds_max: float = seconds(
        1.0, at_least=0.1, at_most=300, what="The longest pause between two probes of a provider that is down."
    )
    processor_memory_seconds: float = seconds(
        10.0,
        at_least=0.1,
        at_most=86_400,
        what="The half-life of what was observed of a provider.",
    )

    def policy(self) -> Policy:
        """The router's parameters."""
        return Policy(
            patience_seconds=self.processor_patience_seconds,
            concurrency_max=self.processor_concurrency,
            failures_to_open=self.processor_failures_to_open,
            probe_seconds_max=self.processor_probe_seconds_max,
            memory_seconds=self.processor_memory_seconds,
            outage_patience_seconds=self.processor_outage_patience_seconds,
        )

    def providers(self) -> dict[ProviderName, Provider]:
        """Both providers. Raises SettingError when a credential is given twice."""
        return {
            "default": Provider(
                self.payment_processor_url_default,
                self.payment_processor_contract_default,
                either(self.payment_processor_header_default, self.payment_processor_header_file_default, "default"),
            ),
            "fallback": Provider(
                self.payment_processor_url_fallback,
                self.payment_processor_contract_fallback,
                either(self.payment_processor_header_fallback, self.payment_processor_header_file_fallback, "fallback"),
            ),
        }
