"""Asks the read model for ids that may be repeats; what gathers during one question goes into the next one."""

import asyncio
from itertools import islice

from tollgate.contract.known_ids import KNOWN_IDS_MAX, Known
from tollgate.gateway.dedup import DedupIndex
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel, ReadModelUnavailableError
from tollgate.runtime.tasks import set_errors, set_results


class KnownIds:
    """Questions about single ids, of which one is under way at a time, with up to KNOWN_IDS_MAX ids."""

    def __init__(self, read_model: ReadModel, dedup_index: DedupIndex, *, timeout_seconds: float) -> None:
        self._read_model = read_model
        self._dedup_index = dedup_index
        self._timeout_seconds = timeout_seconds
        self._waiting: dict[str, asyncio.Future[Known]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, correlation_id: str) -> Known:
        """The answer to a question that has this id, complete up to what the dedup index does not have exactly.

        The bound on waiting ids is the caller's. Raises ReadModelUnavailableError.
        """
        answer = self._waiting.get(correlation_id)
        if answer is None:
            answer = self._waiting[correlation_id] = asyncio.get_running_loop().create_future()
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask_all())
        # A cancelled caller must not cancel the others that wait for the same payment.
        return await asyncio.shield(answer)

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                await self._ask_group()
        finally:
            self._asking = None
            set_errors(self._waiting.values(), ReadModelUnavailableError("no more questions are asked"))
            self._waiting = {}

    async def _ask_group(self) -> None:
        group = dict(islice(self._waiting.items(), KNOWN_IDS_MAX))
        for correlation_id in group:
            del self._waiting[correlation_id]
        up_to = self._dedup_index.recent_from
        try:
            known = await self._read_model.known(list(group), up_to=up_to, timeout_seconds=self._timeout_seconds)
        except (ReadModelUnavailableError, QuestionRefusedError, ValueError) as error:
            set_errors(group.values(), ReadModelUnavailableError(str(error)))
        else:
            set_results(group.values(), known)
        finally:
            set_errors(group.values(), ReadModelUnavailableError("the question was not answered"))
