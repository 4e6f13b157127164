"""Collects the evidence of a run from its sources: the broker, the providers, the file of the read model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import duckdb

from qa.chaos.history import Logged, Settled
from tollgate.contract.batch import Malformed, events_in
from tollgate.contract.events import PaymentRequested
from tollgate.contract.subjects import CONSUMER, STREAM
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_reader import LogMessage, LogReader
from tollgate.projector.live.files import ModelFiles

QUIET_SECONDS = 5.0
CONNECT_SECONDS = 10.0
BATCH_MESSAGES_MAX = 1_000


class UnreadableError(Exception):
    """The evidence cannot be read, so the run cannot be judged."""


class LogTap:
    """Reads the whole log directly from the broker, as the operator; open once the broker can be reached."""

    def __init__(self, nats_url: str) -> None:
        self._broker = Broker(nats_url, name="operator")
        self._reader = LogReader(self._broker, 1)
        self._read = 0
        self.events: list[Logged] = []
        self.poison: list[str] = []
        """The messages that are not valid, with reasons."""

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._broker.__aenter__()
        await self._reader.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(kind, error, trace)
        await self._broker.__aexit__(kind, error, trace)

    async def catch_up(self) -> None:
        """Reads to the log's current end. Raises UnreadableError."""
        last = (await self._broker.log_state(timeout_seconds=CONNECT_SECONDS)).last_sequence
        while self._read < last:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    messages = await self._reader.batch(BATCH_MESSAGES_MAX)
            except TimeoutError as error:
                raise UnreadableError(f"the log ends at {last}, and could not be read to there") from error
            for message in messages:
                self._take(message)

    def _take(self, message: LogMessage) -> None:
        self._read = message.sequence
        events = events_in(message.subject, message.payload)
        if isinstance(events, Malformed):
            self.poison.append(f"{message.sequence}: {events.why}")
        else:
            self.events += [Logged(message.sequence, message.stored_at_us, event) for event in events]

    async def redelivered(self) -> int:
        """How many deliveries of requests were not the first, as far as the broker keeps their counts."""
        info = await self._broker.request(
            f"$JS.API.CONSUMER.INFO.{STREAM}.{CONSUMER}", b"", timeout_seconds=CONNECT_SECONDS
        )
        if "error" in info:
            return 0
        reached: int = info["delivered"]["stream_seq"]
        deliveries: int = info["delivered"]["consumer_seq"]
        requests = {one.sequence for one in self.events if isinstance(one.event, PaymentRequested)}
        first = sum(sequence <= reached for sequence in requests)
        return max(0, deliveries - first)


def read_model(folder: Path) -> tuple[list[Settled], list[str]]:
    """The rows of a file that no process has open: settled payments, and ids of rejected ones.

    Raises UnreadableError.
    """
    file = ModelFiles(folder / "projector").current
    if not file.exists():
        raise UnreadableError(f"there is no read model in {folder}")
    try:
        with duckdb.connect(str(file)) as connection:
            settled = connection.execute(
                "SELECT correlation_id, processor, amount_cents, requested_at_us FROM settled"
            ).fetchall()
            rejected = connection.execute("SELECT correlation_id FROM rejected").fetchall()
    except duckdb.Error as error:
        raise UnreadableError(f"{file}: {str(error).splitlines()[0]}") from error
    rows = [Settled(str(UUID(str(row[0]))), row[1], row[2], row[3]) for row in settled]
    return rows, [str(UUID(str(row[0]))) for row in rejected]


def said(logs: Path) -> Mapping[str, str]:
    """The program log of each program, over all its restarts."""
    return {
        path.stem: "".join(one.read_text(errors="replace") for one in (*sorted(logs.glob(f"{path.name}.*")), path))
        for path in sorted(logs.glob("*.log"))
    }
