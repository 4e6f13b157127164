"""Queries the gateway and both providers for the same window at the same time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from qa.load.client import Answer, NoAnswerError, Pool
from qa.load.provider_records import (
    PROVIDERS,
    Entry,
    Summary,
    UnreadableError,
    read_entries,
    read_summary,
    read_totals,
)
from qa.load.window import Window

ANSWER_SECONDS_MAX = 10.0
LIST_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The gateway's summary and the provider records of one window; a side without an answer is None."""

    window: Window
    asked_at: float
    """Seconds of time.perf_counter()."""
    answered_at: float
    product: Summary | None
    provider_records: Summary | None
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the gateway's answer."""
    trouble: str = ""
    """Why a side has no answer."""

    @property
    def equal(self) -> bool:
        return self.product is not None and self.product == self.provider_records

    @property
    def differs(self) -> bool:
        return self.product is not None and self.provider_records is not None and self.product != self.provider_records

    @property
    def unsettled(self) -> bool:
        """Whether the gateway reports an open attempt in the window."""
        return self.headers.get("tollgate-settled", "true").lower() == "false"


class Comparer:
    def __init__(self, product: Pool, providers: dict[str, Pool], token: str) -> None:
        self._product = product
        self._providers = providers
        self._token = (("X-Rinha-Token", token),)

    async def compare(self, window: Window, timeout_seconds: float = ANSWER_SECONDS_MAX) -> Comparison:
        asked_at = time.perf_counter()
        asked = (
            _ask(self._product, f"/payments-summary?{window.query}", timeout_seconds),
            *(
                _ask(self._providers[name], f"/admin/payments-summary?{window.query}", timeout_seconds, self._token)
                for name in PROVIDERS
            ),
        )
        answer, *pages = await asyncio.gather(*asked, return_exceptions=True)
        answered_at = time.perf_counter()
        troubles = []
        product: Summary | None = None
        provider_records: Summary | None = None
        headers = answer.headers if isinstance(answer, Answer) else {}
        try:
            product = read_summary(_body(answer))
        except (NoAnswerError, UnreadableError) as fault:
            troubles.append(f"gateway: {fault}")
        try:
            provider_records = Summary(*(read_totals(_body(page)) for page in pages))
        except (NoAnswerError, UnreadableError) as fault:
            troubles.append(f"processors: {fault}")
        return Comparison(window, asked_at, answered_at, product, provider_records, headers, "; ".join(troubles))

    async def entries(self) -> dict[str, list[Entry]] | None:
        """Every charge in both providers' records; None when a provider has no list (the benchmark's have none)."""
        provider_records = {}
        for name in PROVIDERS:
            answer = await _ask(self._providers[name], "/admin/payments", LIST_SECONDS_MAX, self._token)
            if answer.status == 404:
                return None
            provider_records[name] = read_entries(_body(answer))
        return provider_records

    async def purge(self) -> None:
        """Purges the gateway and both providers, as the benchmark's script does first."""
        for pool, target in (
            (self._product, "/purge-payments"),
            *((self._providers[name], "/admin/purge-payments") for name in PROVIDERS),
        ):
            answer = await pool.ask(
                pool.origin.request("POST", target, headers=self._token), timeout_seconds=ANSWER_SECONDS_MAX
            )
            if not 200 <= answer.status < 300:
                raise NoAnswerError(f"{pool.origin.url}{target} answered {answer.status}")


async def _ask(pool: Pool, target: str, timeout_seconds: float, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return await pool.ask(pool.origin.request("GET", target, headers=headers), timeout_seconds)


def _body(answer: Answer | BaseException) -> bytes:
    if isinstance(answer, BaseException):
        raise answer
    if answer.status != 200:
        raise UnreadableError(f"status {answer.status}: {answer.body[:80]!r}")
    return answer.body
