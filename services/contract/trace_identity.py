"""The trace of a payment, from its correlationId alone, so that no context has to travel in the log. Pure.

The trace id is the id's own 128 bits. A ratio sampler takes the last 56 bits of a trace id for random (OpenTelemetry,
"TraceState: Probability Sampling"; W3C Trace Context Level 2), and Python's takes 64. A correlationId does not promise
that: clients choose it, a UUID of version 1 ends with the number of a network card, and the 64 bits begin with the
fixed bits of the UUID's variant. So the randomness is taken from a hash, and named in the trace state (`rv`), which is
what the specification provides for trace ids that are not random.
"""

import hashlib
from dataclasses import dataclass

RANDOMNESS_BITS = 56
_RANDOMNESS = 1 << RANDOMNESS_BITS
_INVALID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class TraceIdentity:
    """What every program computes alike."""

    trace_id: int
    root_span_id: int
    randomness: int


def trace_of(correlation_id: str) -> TraceIdentity:
    """The payment's trace. Of the SHA-256 of the id's 16 bytes, 8 name the root span, and the last 7 are random."""
    octets = _octets(correlation_id)
    digest = hashlib.sha256(octets).digest()
    # A span id of 0 is not valid.
    root_span_id = int.from_bytes(digest[:8]) or 1
    return TraceIdentity(int.from_bytes(octets), root_span_id, int.from_bytes(digest[-7:]))


def rejection_threshold(ratio: float) -> int:
    """A trace is sampled if its randomness is not below this, so what a low ratio samples a higher one samples, too."""
    return _RANDOMNESS - round(ratio * _RANDOMNESS)


def is_sampled(correlation_id: str, threshold: int) -> bool:
    """Whether the payment is traced. A trace id of 0 is not valid.

    Each payment is asked about several times, so this computes nothing else.
    """
    digest = hashlib.sha256(_octets(correlation_id)).digest()
    return int.from_bytes(digest[-7:]) >= threshold and correlation_id != _INVALID


def trace_state(trace: TraceIdentity, threshold: int) -> str:
    """The value of the key `ot`: by it a collector that samples again decides alike, and computes true counts."""
    shown = f"{threshold:014x}".rstrip("0") or "0"
    return f"th:{shown};rv:{trace.randomness:014x}"


def _octets(correlation_id: str) -> bytes:
    return bytes.fromhex(correlation_id.replace("-", ""))
