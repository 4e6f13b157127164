"""Loads the filter of all ids from the projector, so that a gateway that starts reads only the requests after it."""

import asyncio

from tollgate.contract.known_filter import PART_BYTES, FilterPart, PartQuestion
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel
from tollgate.runtime.errors import LogChangedError, TollgateError
from tollgate.runtime.id_filter import IdFilter

PART_SECONDS_MAX = 1.0
PARTS_AT_ONCE = 8
"""Parts that are asked for together: one after the other, the round trips take most of a start on a busy machine."""


class FilterUnusableError(TollgateError):
    """The projector's filter cannot be used; the text is the reason. The log has to be read."""


async def load_filter(broker: Broker, read_model: ReadModel, ids: IdFilter) -> int:
    """Adds all ids that were requested up to a sequence, which is returned.

    Raises FilterUnusableError, and ReadModelUnavailableError and BrokerUnavailableError, after which another try may
    succeed. Then some ids may have been added, too, which does no harm.
    """
    # First, and alone: the others are then read after it, and have every id up to its mark.
    first = await _merged_part(read_model, ids, 0)
    begins = range(len(first.bits), ids.size_bytes, PART_BYTES)
    for some in range(0, len(begins), PARTS_AT_ONCE):
        parts = await asyncio.gather(
            *(_merged_part(read_model, ids, begin) for begin in begins[some : some + PARTS_AT_ONCE])
        )
        if any(part.generation != first.generation for part in parts):
            raise FilterUnusableError("the filter was made anew meanwhile")
    try:
        await LogWatch(broker, first.mark).look()
    except LogChangedError as error:
        raise FilterUnusableError(error.contradiction) from None
    return first.mark.sequence


async def _merged_part(read_model: ReadModel, ids: IdFilter, begin: int) -> FilterPart:
    """The part from that byte on, after its ids were added. Raises as `load_filter` does."""
    try:
        part = await read_model.known_filter_part(PartQuestion(begin, ids.size_bytes), timeout_seconds=PART_SECONDS_MAX)
    except (QuestionRefusedError, ValueError) as error:
        raise FilterUnusableError(str(error)) from None
    if part.begin != begin or len(part.bits) != min(PART_BYTES, ids.size_bytes - begin):
        raise FilterUnusableError(f"the part from byte {begin} on is not whole")
    ids.merge(begin, part.bits)
    return part
