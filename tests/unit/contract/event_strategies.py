"""Events for property tests: every kind, every field over its whole range."""

from hypothesis import strategies as st

from tollgate.contract.events import (
    PROVIDERS,
    Event,
    LedgerPurged,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.money import AMOUNT_CENTS_MAX

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
TIME_US_MIN, TIME_US_MAX = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999."""

ids = st.uuids().map(str)
amounts = st.integers(1, AMOUNT_CENTS_MAX)
attempts = st.integers(1, 1_000_000)
providers = st.sampled_from(PROVIDERS)
times = st.integers(TIME_US_MIN, TIME_US_MAX)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

words = st.none() | st.builds(ManualResolution, texts, texts, times)

BY_KIND: dict[type[Event], st.SearchStrategy[Event]] = {
    PaymentRequested: st.builds(PaymentRequested, ids, amounts, times),
    PaymentRouted: st.builds(PaymentRouted, ids, amounts, attempts, providers, times, texts),
    PaymentInDoubt: st.builds(PaymentInDoubt, ids, attempts, providers, texts, words, st.none() | attempts),
    PaymentReleased: st.builds(PaymentReleased, ids, attempts, providers, texts, words),
    PaymentProcessed: st.builds(PaymentProcessed, ids, amounts, attempts, providers, times, times, words),
    PaymentRejected: st.builds(PaymentRejected, ids, amounts, texts, st.none() | attempts),
    LedgerPurged: st.builds(LedgerPurged, texts, times),
}
events = st.one_of(list(BY_KIND.values()))

EXAMPLES: dict[type[Event], Event] = {
    PaymentRequested: PaymentRequested(ID, 1990, 1),
    PaymentRouted: PaymentRouted(ID, 1990, 1, "default", 1, "why"),
    PaymentInDoubt: PaymentInDoubt(ID, 1, "fallback", "why"),
    PaymentReleased: PaymentReleased(ID, 1, "default", "why"),
    PaymentProcessed: PaymentProcessed(ID, 1990, 1, "default", 1, 2),
    PaymentRejected: PaymentRejected(ID, 1990, "why"),
    LedgerPurged: LedgerPurged("test", 1),
}
"""One event of each kind."""
