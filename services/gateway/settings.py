"""The gateway's settings, from the environment."""

import environ


@environ.config(prefix="")
class Settings:
    """Times are seconds."""

    nats_url: str = environ.var("nats://127.0.0.1:4222", help="The broker.")
    heartbeat_file: str = environ.var("", help="A file that is touched every two seconds while all is well.")
    nats_ca_file: str = environ.var("", help="Who signed the broker's certificate; the system's authorities if empty.")
    gateway_name: str = environ.var("gateway", help="How this replica calls itself towards the broker.")
    gateway_uds: str = environ.var("", help="The unix socket to listen on; takes precedence over host and port.")
    gateway_host: str = environ.var("127.0.0.1", help="The address to listen on.")
    gateway_port: int = environ.var(9001, converter=int, help="The port to listen on.")
    gateway_accept_timeout_seconds: float = environ.var(
        3.0,
        converter=float,
        help="How long a payment may wait for the log's acknowledgement before it is answered 503.",
    )
    allow_purge: bool = environ.bool_var(False, help="Whether POST /purge-payments empties the log.")
    log_duplicate_window_seconds: int = environ.var(
        30, converter=int, help="How long the broker remembers message ids: what the projector is told, too."
    )
