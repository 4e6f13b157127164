"""The gateway's settings, from the environment."""

import environ

from tollgate.runtime.settings import (
    ServiceSettings,
    host,
    known_ids_filter_mb,
    name,
    port,
    seconds,
    socket,
    switch,
)


@environ.config(prefix="")
class Settings(ServiceSettings):
    """Times are seconds."""

    gateway_name: str = name("gateway", what="The name of this replica at the broker.")
    gateway_uds: str = socket("", what="The unix socket to listen on; takes precedence over host and port.")
    gateway_host: str = host("127.0.0.1", what="The address to listen on.")
    gateway_port: int = port(9001, what="The port to listen on.")
    gateway_accept_timeout_seconds: float = seconds(
        3.0,
        at_least=0.1,
        at_most=60,
        what="How long a payment may wait for the log's acknowledgement before it is answered 503.",
    )
    known_ids_filter_mb: int = known_ids_filter_mb()
    allow_purge: bool = switch(False, what="Whether `POST /purge-payments` empties the log.")
