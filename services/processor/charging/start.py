"""Where a replica begins to read the log, so that a start costs the same however old the oldest open request is.

It reads the newest RECENT_MESSAGES only: they hold the payments that other replicas, or this one before it died, had
in hand. Older ones are looked up when they are delivered (`lookups.py`). That needs the read model; without it,
everything since the oldest request that is not done is read, which a replica always may (docs/decisions/0040).
"""

import asyncio
import logging

from tollgate.contract.events import LedgerPurged
from tollgate.contract.subjects import PURGED
from tollgate.messaging.log import Log
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.processor.charging.ports import KnownPayments
from tollgate.processor.charging.state_cache import Forgotten, StateCache

logger = logging.getLogger(__name__)

RECENT_MESSAGES = 20_000
"""Messages of the log that are read at a start: under a second."""
WAIT_SECONDS = 15.0
"""How long a start waits for a read model that is away or behind, if it needs one."""
PAUSE_SECONDS = 0.5
API_TIMEOUT_SECONDS = 5.0


async def begin(
    watch: LogWatch,
    log: Log,
    read_model: KnownPayments,
    forgotten: Forgotten,
    *,
    oldest: int,
    recent_messages: int = RECENT_MESSAGES,
    wait_seconds: float = WAIT_SECONDS,
) -> StateCache:
    """The empty cache of a replica, with the place from which it is fed. Raises BrokerError and LogChangedError.

    `oldest` is a sequence with no request before it that is not done.
    """
    # From here on the watch notices when the log changes, and what is read here means nothing any more.
    last = (await watch.look(timeout_seconds=API_TIMEOUT_SECONDS)).last_sequence
    start = max(last + 1 - recent_messages, 1)
    if start <= oldest or not await _answers(read_model, last, wait_seconds, behind=last - oldest):
        return StateCache(oldest, forgotten)
    return StateCache(start, forgotten, purged_before=await _purged_at(log))


async def _answers(read_model: KnownPayments, last: int, wait_seconds: float, *, behind: int) -> bool:
    """Whether the read model answers, as of the log's end, within `wait_seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    while True:
        try:
            await read_model.known([], timeout_seconds=max(deadline - loop.time(), PAUSE_SECONDS), up_to=last)
        except ReadModelUnavailableError as error:
            if loop.time() + PAUSE_SECONDS >= deadline:
                logger.warning("%d messages of the log are read before payments are charged: %s", behind, error)
                return False
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return True


async def _purged_at(log: Log) -> int:
    """The sequence of the last purge, 0 if there was none."""
    sequence = await log.last_sequence_of(PURGED, timeout_seconds=API_TIMEOUT_SECONDS)
    if not sequence:
        return 0
    event = await log.event_at(sequence, deadline=asyncio.get_running_loop().time() + API_TIMEOUT_SECONDS)
    return sequence if isinstance(event, LedgerPurged) else 0
