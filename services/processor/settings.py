"""The processor's settings, from the environment."""

import environ

from processor.routing import Policy
from runtime.errors import FatalError


@environ.config(prefix="")
class Settings:
    """Times are seconds."""

    nats_url: str = environ.var("nats://127.0.0.1:4222", help="The broker.")
    heartbeat_file: str = environ.var("", help="A file that is touched every two seconds while all is well.")
    nats_ca_file: str = environ.var("", help="Who signed the broker's certificate; the system's authorities if empty.")
    payment_processor_url_default: str = environ.var("http://127.0.0.1:8001", help="The cheaper payment processor.")
    payment_processor_url_fallback: str = environ.var("http://127.0.0.1:8002", help="The dearer payment processor.")
    processor_concurrency: int = environ.var(
        640, converter=int, help="Payments that one replica works on at once; the rest waits in the log."
    )
    processor_timeout_seconds: float = environ.var(
        15.0, converter=float, help="How long a call to a payment processor may take before it is in doubt."
    )
    processor_health_interval_seconds: float = environ.var(
        5.0,
        converter=float,
        help="How often a payment processor may be asked for its health, by all replicas together.",
    )
    processor_patience_seconds: float = environ.var(
        15.0, converter=float, help="How much later a payment may settle to be charged at the lower fee."
    )
    processor_failures_to_open: int = environ.var(
        3, converter=int, help="So many failures in a row keep payments away from a payment processor."
    )
    processor_probe_seconds_max: float = environ.var(
        1.0, converter=float, help="The longest pause between two payments that try whether it is back."
    )
    processor_memory_seconds: float = environ.var(
        10.0, converter=float, help="What was observed of a payment processor counts half after so long."
    )

    def policy(self) -> Policy:
        """What the router goes by. Raises FatalError for what it refuses."""
        try:
            return Policy(
                patience_seconds=self.processor_patience_seconds,
                concurrency_max=self.processor_concurrency,
                failures_to_open=self.processor_failures_to_open,
                probe_seconds_max=self.processor_probe_seconds_max,
                memory_seconds=self.processor_memory_seconds,
            )
        except ValueError as error:
            raise FatalError(f"PROCESSOR_{error}") from None
