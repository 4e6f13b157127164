"""The causes that are named when payments wait too long."""

from dataclasses import replace

import pytest

from tollgate.contract.clock_offset import ClockOffset
from tollgate.contract.replicas import ReplicaStatus, decode_replica, encode_replica
from tollgate.contract.waiting import OLDEST_SECONDS_MAX, ChargingFacts, Queue, WaitingPayment

QUEUE = Queue(waiting=7, under_way=8, redelivered=0, under_way_max=10_000, pulls=1, floor=60)
WELL = ReplicaStatus("one", "", 3, 0.4, ClockOffset(-1_000, 1_000))
OLDEST = WaitingPayment(61, 75.2, "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3")
FACTS = ChargingFacts(QUEUE, [WELL], OLDEST)


@pytest.mark.parametrize(
    ("facts", "causes"),
    [
        (FACTS, ["no cause is known; the processors' program logs may name one"]),
        (replace(FACTS, replicas=[]), ["no processor answers"]),
        (replace(FACTS, queue=None), ["the broker has no queue of requests; a processor makes it when it starts"]),
        (replace(FACTS, queue=replace(QUEUE, is_paused=True)), ["an operator has paused the queue of requests"]),
        (
            replace(FACTS, queue=replace(QUEUE, under_way=10_000)),
            ["10000 requests are delivered and not acknowledged, which is the limit"],
        ),
        (replace(FACTS, queue=replace(QUEUE, pulls=0)), ["processors answer, and none asks for requests"]),
        # Replicas with the same obstacle share a line.
        (
            replace(FACTS, replicas=[replace(WELL, obstacle="x"), replace(WELL, name="two", obstacle="x")]),
            ["one, two: x"],
        ),
        (
            replace(FACTS, replicas=[replace(WELL, obstacle="x"), replace(WELL, name="two", obstacle="y")]),
            ["one: x", "two: y"],
        ),
        (replace(FACTS, log_is_full=True), ["the log is full"]),
        (
            replace(FACTS, queue=replace(QUEUE, floor=61)),
            ["the queue of requests begins after the oldest, so it is never delivered"],
        ),
        # It may be in the queue of released payments.
        (
            replace(FACTS, queue=replace(QUEUE, floor=61), is_elsewhere=True),
            ["no cause is known; the processors' program logs may name one"],
        ),
        (
            replace(FACTS, queue=replace(QUEUE, is_paused=True), replicas=[], log_is_full=True),
            ["an operator has paused the queue of requests", "no processor answers", "the log is full"],
        ),
    ],
)
def test_each_cause_is_named(facts: ChargingFacts, causes: list[str]) -> None:
    assert facts.causes() == causes
    trouble = facts.trouble(OLDEST_SECONDS_MAX)
    assert trouble is not None
    assert trouble.startswith(f"payments wait, the oldest, {OLDEST.correlation_id} for 75 s")
    assert trouble.endswith(f": {'; '.join(causes)}")


@pytest.mark.parametrize("oldest", [None, WaitingPayment(61, 60.0), WaitingPayment(61, 0.0)])
def test_nothing_is_named_while_nothing_waits_too_long(oldest: WaitingPayment | None) -> None:
    assert ChargingFacts(None, [], oldest).trouble(60) is None


@pytest.mark.parametrize("status", [WELL, ReplicaStatus("two", "x", 0, None, None)])
def test_a_replicas_answer_survives_encoding(status: ReplicaStatus) -> None:
    assert decode_replica(encode_replica(status)) == status
    # A newer replica may send more fields.
    assert decode_replica(encode_replica(status)[:-1] + b',"more":1}') == status


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{}", b'{"name":"x"}'])
def test_any_other_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_replica(payload)
