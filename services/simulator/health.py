"""The health endpoint's allowance: one call in so many seconds, whoever makes it."""


class HealthAllowance:
    """Grants a call when the last granted one lies `interval_seconds` back; refused calls do not count."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._free_at_seconds: float | None = None

    def take(self, now_seconds: float) -> bool:
        """Whether a call at `now_seconds` (of a monotonic clock) is granted."""
        if self._free_at_seconds is not None and now_seconds < self._free_at_seconds:
            return False
        self._free_at_seconds = now_seconds + self._interval_seconds
        return True
