"""Pauses between retries, and how often failures are logged."""

import logging


class Retries:
    """For an operation that is retried until it succeeds: pauses double up to a bound, and log lines get rarer."""

    def __init__(
        self, logger: logging.Logger, what: str, *, pause_seconds_min: float, pause_seconds_max: float
    ) -> None:
        self._logger = logger
        self._what = what
        self._pause_seconds_min = pause_seconds_min
        self._pause_seconds_max = pause_seconds_max
        self._failures = 0

    def failed(self, why: object) -> float:
        """Seconds to wait before the next try. Logs the first failure, the second, fourth, eighth …"""
        self._failures += 1
        if self._failures & (self._failures - 1) == 0:
            times = "" if self._failures == 1 else f" ({self._failures} times)"
            self._logger.warning("%s%s: %s", self._what, times, why)
        doublings = min(self._failures - 1, 32)
        return min(self._pause_seconds_min * float(1 << doublings), self._pause_seconds_max)

    def succeeded(self) -> None:
        self._failures = 0
