"""Program log lines about providers: their answers, their circuit breakers, and the payments that they were to charge.

The first line about a provider and a subject is written at once, the next are counted: many cost one line every few
seconds.
"""

import asyncio
import logging
from dataclasses import dataclass

from tollgate.contract.events import ProviderName

logger = logging.getLogger(__name__)

REPORT_SECONDS = 5.0
"""At most one line within this for each provider and subject."""


@dataclass(slots=True)
class _Folded:
    """What was not written since the last line: how many, and the newest."""

    count: int = 0
    newest: str = ""


class ProviderLog:
    """Writes warnings about providers. For use inside an event loop."""

    def __init__(self) -> None:
        self._folded: dict[tuple[ProviderName, str], _Folded] = {}

    def note(self, provider: ProviderName, subject: str, text: str) -> None:
        """Writes the line, or counts it when the last one is younger than REPORT_SECONDS."""
        folded = self._folded.get((provider, subject))
        if folded is None:
            logger.warning("%s: %s: %s", provider, subject, text)
            self._begin(provider, subject)
        else:
            folded.count += 1
            folded.newest = text

    def _begin(self, provider: ProviderName, subject: str) -> None:
        self._folded[provider, subject] = _Folded()
        asyncio.get_running_loop().call_later(REPORT_SECONDS, self._report, provider, subject)

    def _report(self, provider: ProviderName, subject: str) -> None:
        folded = self._folded.pop((provider, subject))
        if folded.count:
            logger.warning(
                "%s: %s: %d more in %g s, the newest: %s",
                provider,
                subject,
                folded.count,
                REPORT_SECONDS,
                folded.newest,
            )
            self._begin(provider, subject)
