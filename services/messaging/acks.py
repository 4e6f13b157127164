"""Parses the reply subject of a delivery, in which the broker puts the delivery's metadata."""

from dataclasses import dataclass

_TOKENS = 9
"""$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<stored at ns>.<pending>"""
_TOKENS_WITH_DOMAIN = 2
"""Newer servers add a domain and an account hash after ACK, and a random token at the end."""


@dataclass(frozen=True, slots=True)
class DeliveryInfo:
    """`deliveries` counts from 1; `sequence` is the log's; `pending` messages are left to deliver."""

    deliveries: int
    sequence: int
    consumer_sequence: int
    stored_at_us: int
    pending: int


def parse_ack_subject(reply: str) -> DeliveryInfo:
    """Parses the reply subject of a JetStream delivery. Raises ValueError for any other subject."""
    tokens = reply.split(".")
    first = 4 if len(tokens) == _TOKENS else 4 + _TOKENS_WITH_DOMAIN
    deliveries, sequence, consumer_sequence, stored_at_ns, pending = map(int, tokens[first : first + 5])
    return DeliveryInfo(deliveries, sequence, consumer_sequence, stored_at_ns // 1000, pending)
