import orjson
import pytest

from tollgate.contract.batch import Malformed
from tollgate.contract.codec import encode
from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.subjects import subject_of
from tollgate.messaging.stored_message import StoredMessage
from tollgate.ops.log_view import Entry, as_json_line, as_line

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (PaymentRequested(ID, 1990, 0), f"PaymentRequested  {ID}  19.90"),
        (
            PaymentRouted(ID, 1990, 2, "fallback", 1, "default is down"),
            f"PaymentRouted     {ID}  19.90  attempt 2 at fallback, 1970-01-01T00:00:00.000001Z: default is down",
        ),
        (PaymentInDoubt(ID, 1, "default", "no answer"), f"PaymentInDoubt    {ID}  attempt 1 at default: no answer"),
        (
            PaymentProcessed(ID, 1990, 1, "default", 1, 2),
            f"PaymentProcessed  {ID}  19.90  attempt 1 at default, 1970-01-01T00:00:00.000001Z",
        ),
        (PaymentRejected(ID, 1990, "closed"), f"PaymentRejected   {ID}  19.90  closed"),
        (LedgerPurged("gateway-1", 1), "LedgerPurged      by gateway-1: everything before is void"),
    ],
)
def test_an_event_is_one_line(event: Event, expected: str) -> None:
    line = as_line(Entry(StoredMessage(7, subject_of(event), encode(event), 1_000_000), event))
    assert line == f"        7  1970-01-01T00:00:01.000000Z  {expected}"


def test_what_is_not_valid_is_shown_all_the_same_and_why() -> None:
    entry = Entry(StoredMessage(7, "payments.rejected", b"\xff{", 0), Malformed("a PaymentProcessed under it"))
    assert as_line(entry).endswith("not valid: a PaymentProcessed under it")
    shown = orjson.loads(as_json_line(entry))
    assert (shown["event"], shown["setAside"]) == ("\ufffd{", "a PaymentProcessed under it")
