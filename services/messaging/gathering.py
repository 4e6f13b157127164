"""Requests that every program of a kind answers for itself: one question, any number of answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import nats.errors
from nats.aio.msg import Msg

from tollgate.contract.statistics import STATISTICS, ProgramStatistics, decode_statistics
from tollgate.messaging.connection import Broker

GATHER_SECONDS_MAX = 1.0
"""The longest wait for answers."""
QUIET_SECONDS = 0.25
"""After such a pause between two answers no further one is expected."""
ANSWERS_MAX = 64
"""Further answers are not waited for."""


async def gather_answers(broker: Broker, subject: str) -> Sequence[bytes]:
    """The answers of the programs that answer in time; none where the broker cannot be asked."""
    answers: list[bytes] = []
    inbox = broker.client.new_inbox()
    try:
        subscription = await broker.client.subscribe(inbox)
        try:
            await broker.client.publish(subject, b"", reply=inbox)
            async with asyncio.timeout(GATHER_SECONDS_MAX):
                while len(answers) < ANSWERS_MAX:
                    message = await subscription.next_msg(QUIET_SECONDS if answers else GATHER_SECONDS_MAX)
                    if message.headers and "Status" in message.headers:
                        # The broker reports that there are no subscribers.
                        break
                    answers.append(message.data)
        finally:
            await subscription.unsubscribe()
    except (TimeoutError, nats.errors.Error):
        # Programs that have not answered by now are left out.
        pass
    return answers


async def ask_statistics(broker: Broker) -> list[ProgramStatistics]:
    """The metrics of the programs that answer in time, by name."""
    answers = await gather_answers(broker, STATISTICS)
    return sorted((decode_statistics(one) for one in answers), key=lambda one: one.name)


@contextlib.asynccontextmanager
async def answering(broker: Broker, subject: str, answer: Callable[[], bytes]) -> AsyncIterator[None]:
    """Answers each request with what `answer` returns at that moment."""

    async def respond(message: Msg) -> None:
        # Only to an inbox: the sender chooses the reply subject, and a service may write to the log.
        if message.reply.startswith("_INBOX"):
            await message.respond(answer())

    subscription = await broker.client.subscribe(subject, cb=respond)
    try:
        yield
    finally:
        if broker.is_connected:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
