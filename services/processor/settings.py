"""The processor's settings, from the environment."""

import environ


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
