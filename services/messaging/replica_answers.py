"""Answering requests for a replica's status; `messaging/charging_facts.py` sends them."""

import contextlib
from collections.abc import AsyncIterator, Callable

from nats.aio.msg import Msg

from tollgate.contract.replicas import REPLICAS, ReplicaStatus, encode_replica
from tollgate.messaging.connection import Broker


@contextlib.asynccontextmanager
async def replica_answers(broker: Broker, status: Callable[[], ReplicaStatus]) -> AsyncIterator[None]:
    """Answers each request with the status at that moment."""

    async def answer(message: Msg) -> None:
        # Only to an inbox: the sender chooses the reply subject, and a replica may write to the log.
        if message.reply.startswith("_INBOX"):
            await message.respond(encode_replica(status()))

    subscription = await broker.client.subscribe(REPLICAS, cb=answer)
    try:
        yield
    finally:
        if broker.is_connected:
            await subscription.unsubscribe()
