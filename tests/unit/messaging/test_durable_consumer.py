"""Which consumers are taken as they are, and which may have passed something over."""

from typing import Any

import pytest

from tollgate.messaging.durable_consumer import Queue, definition, differences
from tollgate.processor.intake.queues import QUEUES, REQUESTS

OF_THE_BROKER = {"replay_policy": "instant", "num_replicas": 0, "metadata": {"_nats.level": "0"}}
"""What it adds to every consumer."""


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.consumer)
@pytest.mark.parametrize("begins_at", [None, 7])
def test_one_that_was_made_here_is_taken(queue: Queue, begins_at: int | None) -> None:
    ours = definition(queue, begins_at)
    known = {**OF_THE_BROKER, **ours, "metadata": {**OF_THE_BROKER["metadata"], **ours.get("metadata", {})}}  # type: ignore[dict-item]
    assert differences(known, queue) == []


@pytest.mark.parametrize("change", [{"ack_wait": 1}, {"max_ack_pending": 1}, {"max_waiting": 1}, {"description": "x"}])
def test_what_passes_nothing_over_is_changed_in_place(change: dict[str, Any]) -> None:
    assert differences({**OF_THE_BROKER, **definition(REQUESTS, None), **change}, REQUESTS) == []


@pytest.mark.parametrize(
    "change",
    [
        {"deliver_policy": "new"},
        {"deliver_policy": "by_start_sequence", "opt_start_seq": 7},
        {"deliver_policy": "by_start_time", "opt_start_time": "2026-01-31T12:00:00Z"},
        {"filter_subject": "payments.rejected"},
        {"filter_subject": None, "filter_subjects": ["payments.requested", "payments.rejected"]},
        {"ack_policy": "none"},
        {"ack_policy": "all"},
        {"max_deliver": 3},
        {"deliver_subject": "somewhere"},
        {"headers_only": True},
        {"durable_name": None},
        {"mem_storage": True},
        {"replay_policy": "original"},
    ],
    ids=str,
)
def test_what_may_have_passed_something_over_is_not_taken(change: dict[str, Any]) -> None:
    assert differences({**OF_THE_BROKER, **definition(REQUESTS, None), **change}, REQUESTS)
