"""Pauses between retries of an operation, which double up to a bound."""

import logging


class Retries:
    """For an operation that is retried until it succeeds. Each failure is a line, and repeated lines are folded."""

    def __init__(
        self, logger: logging.Logger, what: str, *, pause_seconds_min: float, pause_seconds_max: float
    ) -> None:
        self._logger = logger
        # Part of the text, not a value in it: so each operation's lines are a kind of their own.
        self._line = f"{what.replace('%', '%%')}: %s"
        self._pause_seconds_min = pause_seconds_min
        self._pause_seconds_max = pause_seconds_max
        self._failures = 0

    def failed(self, why: object) -> float:
        """Seconds to wait before the next try."""
        self._failures += 1
        self._logger.warning(self._line, why)
        doublings = min(self._failures - 1, 32)
        return min(self._pause_seconds_min * float(1 << doublings), self._pause_seconds_max)

    def succeeded(self) -> None:
        self._failures = 0
