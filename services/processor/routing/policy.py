"""The routing parameters; docs/how-to/tuning.md shows what each does to profit and to waiting."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """How to weigh fee against time, and when to use a provider. Raises ValueError for a value out of range."""

    patience_seconds: float = 15.0
    """How much later a payment may settle to be charged at the lower fee. It also prices time: a second costs the
    difference of the fees divided by this."""
    concurrency_max: int = 640
    """Payments under way at both providers together."""
    failures_to_open: int = 3
    """How many failures in a row open a circuit."""
    probe_seconds_max: float = 1.0
    """The longest pause between two probes of an open circuit; it begins at an eighth of this, and doubles."""
    memory_seconds: float = 10.0
    """The half-life of observations."""
    outage_patience_seconds: float | None = None
    """How much later a payment may settle because the cheap provider is down; None: `patience_seconds`, as where it is
    slow or full."""

    def __post_init__(self) -> None:
        for name, least in (
            ("patience_seconds", 0.1),
            ("concurrency_max", 2),
            ("failures_to_open", 1),
            ("probe_seconds_max", 0.1),
            ("memory_seconds", 0.1),
            ("outage_patience_seconds", 0.1),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name.upper()} must be at least {least}, not {getattr(self, name)}")
