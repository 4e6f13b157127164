"""Collects what a run left behind, each from where it really is: the broker, the processors, the read model's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import duckdb
import nats
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.client import JetStreamContext

from chaos.history import Logged, Settled
from contract.events import PaymentRequested
from contract.message import Malformed, events_in
from contract.stream import CONSUMER, STREAM
from contract.timestamps import MICROSECONDS
from projector.files import ModelFiles

QUIET_SECONDS = 2.0


class UnreadableError(Exception):
    """The evidence cannot be had: the run cannot be judged."""


class LogTap:
    """The whole log, read from the broker itself by its operator; entered once the broker can be reached."""

    def __init__(self, nats_url: str) -> None:
        self._url = nats_url
        self.events: list[Logged] = []
        self.poison: list[str] = []
        """What is no valid event in its messages."""

    async def __aenter__(self) -> Self:
        self._client: Client = await nats.connect(self._url, max_reconnect_attempts=5, connect_timeout=2)
        self._stream: JetStreamContext = self._client.jetstream(timeout=5)
        self._subscription = await self._stream.subscribe("payments.>", stream=STREAM, ordered_consumer=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def catch_up(self) -> None:
        """Reads to the log's present end. Raises UnreadableError."""
        last = (await self._stream.stream_info(STREAM)).state.last_seq
        while (self.events[-1].sequence if self.events else 0) < last:
            try:
                message = await self._subscription.next_msg(timeout=QUIET_SECONDS)
            except NatsTimeoutError as error:
                raise UnreadableError(f"the log ends at {last}, and could not be read to there") from error
            place = message.metadata
            stored_at_us = int(place.timestamp.timestamp() * MICROSECONDS)
            for event in events_in(message.subject, message.data):
                if isinstance(event, Malformed):
                    self.poison.append(f"{place.sequence.stream}: {event.why}")
                else:
                    self.events.append(Logged(place.sequence.stream, stored_at_us, event))

    async def redelivered(self) -> int:
        """How many deliveries of requests were not the first, as far as the broker remembers them."""
        info = await self._stream.consumer_info(STREAM, CONSUMER)
        if info.delivered is None:
            return 0
        reached: int = info.delivered.stream_seq
        first = sum(isinstance(one.event, PaymentRequested) and one.sequence <= reached for one in self.events)
        return max(0, int(info.delivered.consumer_seq) - first)


def read_model(folder: Path) -> tuple[list[Settled], list[str]]:
    """The rows of the file, whoever wrote it last being gone: settled payments, and ids of rejected ones.

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
    """What each program wrote, over all its lives."""
    return {
        path.stem: "".join(one.read_text(errors="replace") for one in (*sorted(logs.glob(f"{path.name}.*")), path))
        for path in sorted(logs.glob("*.log"))
    }
