"""The request for the metrics of every program: subject, answer, encoding. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import orjson

STATISTICS = "tollgate.statistics"
"""Every gateway, processor and projector receives the request and answers for itself."""


@dataclass(frozen=True, slots=True)
class ProgramStatistics:
    """The metrics of one program at one time.

    `program` is its kind (gateway, processor, projector), `name` is unique among those that run. `samples` are values
    by Prometheus' sample names, labels included: `tollgate_provider_failing{provider="default"}`.
    """

    program: str
    name: str
    samples: Mapping[str, float]


def encode_statistics(statistics: ProgramStatistics) -> bytes:
    return orjson.dumps(asdict(statistics))


def decode_statistics(payload: bytes) -> ProgramStatistics:
    """Raises ValueError for anything that `encode_statistics` did not write."""
    fields = orjson.loads(payload)
    match fields:
        case {"program": str(program), "name": str(name), "samples": dict(samples)} if all(
            isinstance(value, int | float) for value in samples.values()
        ):
            return ProgramStatistics(program, name, samples)
    raise ValueError(f"not a ProgramStatistics: {payload[:80]!r}")
