"""The rate limit of the health endpoint: one call per interval, over all clients."""


class HealthAllowance:
    """Grants a call `interval_seconds` after the last granted one; refused calls do not count."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._free_at_seconds: float | None = None

    def take(self, now_seconds: float) -> bool:
        """Whether a call at `now_seconds` (monotonic clock) is granted."""
        if self._free_at_seconds is not None and now_seconds < self._free_at_seconds:
            return False
        self._free_at_seconds = now_seconds + self._interval_seconds
        return True
