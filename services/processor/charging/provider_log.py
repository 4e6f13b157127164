"""Program log lines about providers: their answers, their circuit breakers, and the payments that they were to charge.

They are folded as all lines are (`runtime/folded_lines.py`): a provider that fails each payment costs one line every
few seconds.
"""

import logging
from typing import Literal

from tollgate.contract.events import ProviderName
from tollgate.processor.charging.outcomes import Attempt
from tollgate.runtime.log_fields import LogFields, about

logger = logging.getLogger(__name__)

ProviderEvent = Literal[
    "answer_outside_contract",
    "attempt_not_sent",
    "breaker_closed",
    "breaker_opened",
    "doubt_ended",
    "intent_void",
    "lookup_outside_contract",
    "manual_resolution",
    "payment_in_doubt",
    "payment_rejected",
]
SUBJECTS: dict[ProviderEvent, str] = {
    "answer_outside_contract": "payments answered outside of its contract",
    "attempt_not_sent": "attempts released without being sent",
    "breaker_closed": "circuit breaker",
    "breaker_opened": "circuit breaker",
    "doubt_ended": "doubts ended",
    "intent_void": "void intents, which are not sent",
    "lookup_outside_contract": "lookups answered outside of its contract",
    "manual_resolution": "resolved by an operator",
    "payment_in_doubt": "attempts in doubt",
    "payment_rejected": "rejections recorded",
}
"""What each event is called in a line for people."""
GOOD_NEWS = frozenset[ProviderEvent]({"breaker_closed", "doubt_ended"})


def of_attempt(attempt: Attempt, reason: str) -> LogFields:
    """The fields of a line about an attempt."""
    return about(correlation_id=attempt.correlation_id, attempt=attempt.attempt, reason=reason)


class ProviderLog:
    """Writes lines about providers: INFO for what is good news, WARNING for the rest."""

    def note(self, provider: ProviderName, event: ProviderEvent, text: str, fields: LogFields) -> None:
        """Writes the line."""
        level = logging.INFO if event in GOOD_NEWS else logging.WARNING
        given = fields | about(event=event, provider=provider)
        logger.log(level, "%s: %s: %s", provider, SUBJECTS[event], text, extra=given)
