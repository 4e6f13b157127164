"""Loads the filter of all ids from the projector, so that a gateway that starts reads only the requests after it."""

from tollgate.contract.known_filter import PART_BYTES, PartQuestion
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel
from tollgate.runtime.errors import LogChangedError, TollgateError
from tollgate.runtime.id_filter import IdFilter

PART_SECONDS_MAX = 1.0


class FilterUnusableError(TollgateError):
    """The projector's filter cannot be used; the text is the reason. The log has to be read."""


async def load_filter(broker: Broker, read_model: ReadModel, ids: IdFilter) -> int:
    """Adds all ids that were requested up to a sequence, which is returned.

    Raises FilterUnusableError, and ReadModelUnavailableError and BrokerUnavailableError, after which another try may
    succeed. Then some ids may have been added, too, which does no harm.
    """
    generation, mark = None, None
    for begin in range(0, ids.size_bytes, PART_BYTES):
        question = PartQuestion(begin, ids.size_bytes)
        try:
            part = await read_model.known_filter_part(question, timeout_seconds=PART_SECONDS_MAX)
        except (QuestionRefusedError, ValueError) as error:
            raise FilterUnusableError(str(error)) from None
        if part.begin != begin or len(part.bits) != min(PART_BYTES, ids.size_bytes - begin):
            raise FilterUnusableError(f"the part from byte {begin} on is not whole")
        if generation not in (None, part.generation):
            raise FilterUnusableError("the filter was made anew meanwhile")
        # The first part's: ids of later requests may be missing from it.
        generation, mark = part.generation, mark or part.mark
        ids.merge(begin, part.bits)
    if mark is None:
        raise FilterUnusableError("it is empty")
    try:
        await LogWatch(broker, mark).look()
    except LogChangedError as error:
        raise FilterUnusableError(error.contradiction) from None
    return mark.sequence
