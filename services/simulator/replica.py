"""A lagging replica: lookups that do not find a charge until some time after it was made."""

from collections import OrderedDict


class Replica:
    """Keeps when the charges of the last `keep_seconds` were made; older ones are found at any lag."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._charged_at_seconds: OrderedDict[bytes, float] = OrderedDict()

    def note(self, key: bytes, now_seconds: float) -> None:
        """Records a charge made at `now_seconds` (monotonic clock)."""
        self._charged_at_seconds[key] = now_seconds
        while self._charged_at_seconds:
            oldest = next(iter(self._charged_at_seconds))
            if self._charged_at_seconds[oldest] > now_seconds - self._keep_seconds:
                return
            del self._charged_at_seconds[oldest]

    def shows(self, key: bytes, now_seconds: float, lag_seconds: float) -> bool:
        """Whether a replica that lags by `lag_seconds` has the charge of `key` at `now_seconds`."""
        return self._charged_at_seconds.get(key, -self._keep_seconds) <= now_seconds - lag_seconds
