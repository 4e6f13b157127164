"""Serves queries on the read model over NATS, as a micro service (`nats micro ls` lists it)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from tollgate.archive.errors import ArchiveError
from tollgate.archive.whole_log import log_end_with_archive
from tollgate.contract.known_filter import (
    KNOWN_FILTER,
    PART_BYTES,
    FilterPart,
    decode_part_question,
    encode_part,
)
from tollgate.contract.known_ids import KNOWN, Known, decode_known_question, encode_known
from tollgate.contract.projector_presence import INSTANCE_HEADER
from tollgate.contract.read_model_api import (
    ACCEPT_DIFFERENCES,
    ADOPT,
    CHARGING,
    FILES_SERVICE,
    PAYMENT,
    SERVICE,
    SNAPSHOT,
    STATUS,
    SUMMARY,
    Charging,
    Summary,
    SummaryQuestion,
    decode_question,
    encode_charging,
    encode_payment,
    encode_summary,
)
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.micro_service import Endpoint, Request, micro_service
from tollgate.projector.live.active_model import ActiveModel
from tollgate.projector.live.follower import Follower
from tollgate.projector.live.store import DamagedModelError, Store
from tollgate.projector.metrics import ProjectorMetrics
from tollgate.projector.read.inspection import CannotAnswerError, Inspection, oldest_chargeable_of
from tollgate.projector.standby.turn import Turn
from tollgate.projector.verify.comparison import NotComparableError
from tollgate.runtime.errors import BrokerError, LogChangedError
from tollgate.runtime.log_fields import about
from tollgate.runtime.process import run_together
from tollgate.runtime.tasks import end

logger = logging.getLogger(__name__)

VERSION = "1.0.0"
QUESTIONS_MAX = 64
"""Limit of queries served at once; beyond it a query is refused with 503."""
CATCH_UP_SECONDS = 3.0
"""How long a query waits until the read model has reached what was the log's end when the query arrived."""


class QuestionService:
    """The endpoints of the read model. Questions are answered while it is this projector's turn.

    `settle_seconds` bounds the wait, counted from the arrival of a query, for answers due inside its window.
    """

    def __init__(
        self,
        broker: Broker,
        active_model: ActiveModel,
        inspection: Inspection,
        metrics: ProjectorMetrics,
        *,
        settle_seconds: float,
        turn: Turn,
        archive_dir: Path | None = None,
    ) -> None:
        self._turn = turn
        self._metrics = metrics
        self._archive_dir = archive_dir
        self._void: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the error that makes the read model void."""
        self._broker = broker
        self._active_model = active_model
        self._inspection = inspection
        self._settle_seconds = settle_seconds
        self._answering: set[asyncio.Task[None]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")

    async def run(self) -> None:
        """Serves until cancelled.

        Raises LogChangedError when the log is not the one that was read, and DamagedModelError.
        """
        try:
            await run_together(self._until_void(), self._serve_questions(), self._serve_files())
        finally:
            # Before the thread that they read with. Who asked gets no answer, and asks again.
            await asyncio.gather(*(end(task) for task in tuple(self._answering)))
            self._thread.shutdown()

    async def is_current(self) -> bool:
        """Whether the read model reaches what is the log's end now, in time to answer a question."""
        try:
            with self._active_model.model.used():
                await self._catch_up()
        except CannotAnswerError:
            return False
        return True

    async def _until_void(self) -> None:
        await self._void

    async def _serve_questions(self) -> None:
        """Serves questions while it is this projector's turn."""
        endpoints = (
            Endpoint("summary", SUMMARY, self._handler("summary", self._summary)),
            Endpoint("payment", PAYMENT, self._handler("payment", self._payment)),
            Endpoint("known", KNOWN, self._handler("known", self._known)),
            Endpoint("known_filter", KNOWN_FILTER, self._handler("known_filter", self._known_filter)),
            Endpoint("charging", CHARGING, self._handler("charging", self._charging)),
            Endpoint("status", STATUS, self._handler("status", self._status)),
        )
        while True:
            await self._turn.until(is_mine=True)
            async with micro_service(
                self._broker,
                name=SERVICE,
                version=VERSION,
                description="Tollgate's read model",
                endpoints=endpoints,
                queue_group=self._turn.queue_group,
            ):
                await self._turn.until(is_mine=False)

    async def _serve_files(self) -> None:
        """Serves requests about this projector's own files, also while another one answers questions."""
        endpoints = (
            Endpoint("snapshot", SNAPSHOT, self._addressed(self._handler("snapshot", self._snapshot))),
            Endpoint("adopt", ADOPT, self._addressed(self._handler("adopt", self._adopt))),
        )
        async with micro_service(
            self._broker,
            name=FILES_SERVICE,
            version=VERSION,
            description="The files of Tollgate's read model",
            endpoints=endpoints,
            queue_group=self._turn.queue_group,
        ):
            await self._void

    def _addressed(self, handle: Callable[[Request], Awaitable[None]]) -> Callable[[Request], Awaitable[None]]:
        """A handler that leaves requests to another projector unanswered; that one gets them, too."""

        async def handle_mine(request: Request) -> None:
            wanted = (request.headers or {}).get(INSTANCE_HEADER)
            if wanted == self._turn.instance or (wanted is None and self._turn.is_mine):
                await handle(request)

        return handle_mine

    def _handler(self, name: str, answer: Callable[[bytes], Awaitable[bytes]]) -> Callable[[Request], Awaitable[None]]:
        """A handler that runs each query in its own task: the micro service itself calls one handler at a time."""

        async def handle(request: Request) -> None:
            if len(self._answering) >= QUESTIONS_MAX:
                logger.warning(
                    "a query is refused: %d are being served", QUESTIONS_MAX, extra=about(event="query_refused")
                )
                await request.respond_error("503", f"{QUESTIONS_MAX} queries are being served already")
                return
            task = asyncio.create_task(self._respond(name, request, answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        return handle

    @property
    def _store(self) -> Store:
        return self._active_model.model.store

    @property
    def _follower(self) -> Follower:
        return self._active_model.model.follower

    async def _respond(self, name: str, request: Request, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        began = time.perf_counter()
        # The change to a rebuilt read model waits for the queries that use the old one; it must not wait for itself.
        with nullcontext() if request.subject == ADOPT else self._active_model.model.used():
            is_answered = await _respond(request, partial(self._unless_damaged, answer))
        self._metrics.answered(name, time.perf_counter() - began, is_refused=not is_answered)

    async def _unless_damaged(self, answer: Callable[[bytes], Awaitable[bytes]], payload: bytes) -> bytes:
        try:
            return await answer(payload)
        except DamagedModelError as error:
            if not self._void.done():
                self._void.set_exception(error)
            raise CannotAnswerError("the read model is damaged, and is being rebuilt") from None

    async def _adopt(self, payload: bytes) -> bytes:
        try:
            return (await self._active_model.adopt(accepts_differences=payload == ACCEPT_DIFFERENCES)).encode()
        except NotComparableError as error:
            raise ValueError(str(error)) from None

    async def _summary(self, payload: bytes) -> bytes:
        question = decode_question(payload)
        if question.is_of_the_past:
            return encode_summary(await self._past_summary(question))
        asked_at_us = now_us() if question.asked_at_us is None else question.asked_at_us
        settle_by = asyncio.get_running_loop().time() + self._settle_seconds
        log_end = await self._catch_up()
        if question.log_end is not None:
            log_end = min(question.log_end, log_end)
        await self._settle(question, asked_at_us, settle_by)
        # Under the `in_step` lock: an attempt that has ended in the projection, but not yet in the store, would be
        # counted in neither. Before the totals are read: they report separately what was committed in between.
        async with self._follower.in_step:
            position = self._follower.position
            open_attempts = sum(1 for _ in self._follower.projection.attempts_in(question.from_us, question.to_us))
        read = partial(self._store.totals, question, asked_at_us=asked_at_us, log_end=log_end)
        totals, later = await asyncio.get_running_loop().run_in_executor(self._thread, read)
        # Attempts that ended during the wait were open when the query arrived.
        open_attempts += later
        return encode_summary(
            Summary(totals, settled=open_attempts == 0, open_attempts=open_attempts, position=position)
        )

    async def _past_summary(self, question: SummaryQuestion) -> Summary:
        """The summary as of an earlier position. Raises ValueError when the log has not reached it or it was purged."""
        if question.as_of_us is not None and question.as_of_us > now_us():
            raise ValueError("'asOf' lies in the future")
        # In this order: the log's end is then never below the position of that time, whatever the broker's clock shows.
        position = await self._position_of(question)
        log_end = await self._catch_up()
        if position > log_end:
            raise ValueError(f"'asOf' lies beyond the log's end, which is {log_end}")
        # Not in this thread: a query waits for a commit that is under way.
        purged_at = await asyncio.get_running_loop().run_in_executor(self._thread, self._store.purged_at)
        if position < purged_at:
            raise ValueError(f"'asOf' lies before {purged_at}, where everything before was purged")
        read = partial(self._store.totals_as_of, question, position)
        return Summary(await asyncio.get_running_loop().run_in_executor(self._thread, read), position=position)

    async def _position_of(self, question: SummaryQuestion) -> int:
        if question.as_of_us is None:
            return question.as_of_sequence or 0
        try:
            return await log_end_with_archive(self._broker, self._archive_dir, question.as_of_us)
        except (BrokerError, ArchiveError) as error:
            raise CannotAnswerError(str(error)) from None

    async def _payment(self, payload: bytes) -> bytes:
        await self._catch_up()
        loop = asyncio.get_running_loop()
        return encode_payment(await loop.run_in_executor(self._thread, self._follower.payment, payload.decode()))

    async def _known(self, payload: bytes) -> bytes:
        question = decode_known_question(payload)
        await self._catch_up(question.up_to)
        # Taken first: what is found may be newer, and nothing up to here is missing.
        position = self._follower.position
        find = partial(self._follower.known, question.correlation_ids)
        return encode_known(Known(position, await asyncio.get_running_loop().run_in_executor(self._thread, find)))

    async def _known_filter(self, payload: bytes) -> bytes:
        question = decode_part_question(payload)
        if question.begin == 0:
            await self._catch_up()
        ids, mark = self._follower.known_filter, self._follower.mark()
        if question.size_bytes != ids.size_bytes:
            raise ValueError(f"the projector's filter has {ids.size_bytes} bytes (KNOWN_IDS_FILTER_MB)")
        if not ids.is_whole or mark is None:
            raise CannotAnswerError("the filter is being made")
        return encode_part(FilterPart(question.begin, ids.generation, mark, ids.part(question.begin, PART_BYTES)))

    async def _charging(self, _: bytes) -> bytes:
        asked_at_us = now_us()
        log_end = await self._catch_up()
        projection = self._follower.projection
        in_doubt, doubts = projection.in_doubt()
        attempts, position = len(projection.open_attempts), self._follower.position
        pending, oldest = len(projection.open) - attempts, oldest_chargeable_of(projection)
        oldest_sequence = projection.oldest_open_sequence()
        read = partial(self._store.totals, SummaryQuestion(), asked_at_us=asked_at_us, log_end=log_end)
        totals, _later = await asyncio.get_running_loop().run_in_executor(self._thread, read)
        return encode_charging(
            Charging(pending, attempts - in_doubt, in_doubt, doubts, totals, position, oldest, oldest_sequence)
        )

    async def _status(self, _payload: bytes) -> bytes:
        return await self._inspection.status(self._active_model.model)

    async def _snapshot(self, _payload: bytes) -> bytes:
        await self._catch_up()
        return await self._inspection.snapshot(self._follower)

    async def _catch_up(self, up_to: int | None = None) -> int:
        """Waits until the read model holds all that the log held at the call, or what it held up to `up_to`.

        Returns the log's end at the call.
        """
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                watch = self._follower.watch
                # After a new connection the log may be another with the same ends: its message is compared, too.
                check = watch.ends if watch.is_sure else watch.look
                log = await check(timeout_seconds=CATCH_UP_SECONDS)
                last_sequence = log.last_sequence if up_to is None else min(up_to, log.last_sequence)
                await self._follower.reached(last_sequence)
                return log.last_sequence
        except LogChangedError as error:
            if not self._void.done():
                self._void.set_exception(error)
            raise CannotAnswerError(f"{error.contradiction}; the read model is being rebuilt") from None
        except (TimeoutError, BrokerError):
            raise CannotAnswerError("the read model is behind the log; try again soon") from None

    async def _settle(self, question: SummaryQuestion, asked_at_us: int, settle_by: float) -> None:
        """Waits until no answer is due for an attempt that is open inside the window at the call.

        `settle_by`, by the event loop's clock, is the bound. An attempt that is charged after the query does not delay
        the answer.
        """
        projection = self._follower.projection
        waiting = list(projection.attempts_in(question.from_us, question.to_us))
        try:
            async with asyncio.timeout_at(settle_by):
                while any(projection.is_answer_due(*one, asked_at_us) for one in waiting):
                    await self._follower.moved()
        except TimeoutError:
            return


async def _respond(request: Request, answer: Callable[[bytes], Awaitable[bytes]]) -> bool:
    """Whether the answer is no error."""
    try:
        await request.respond(await answer(request.data))
    except CannotAnswerError as error:
        await request.respond_error("503", str(error))
    except ValueError as error:
        await request.respond_error("400", str(error))
    except Exception:
        logger.exception("a query failed")
        await request.respond_error("500", "the query failed; the projector's program log has the reason")
    else:
        return True
    return False
