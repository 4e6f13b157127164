"""How long no payment was accepted after a fault of the log's leader. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from itertools import pairwise

from qa.chaos.history import Request

WINDOW_US = 3_000_000
"""A pause that a fault causes begins within this after it."""


def gaps_after(faults_at_us: Sequence[int], requests: Sequence[Request]) -> list[float]:
    """For each fault, the longest time between two acceptances that had begun when it came, or soon after."""
    accepted = sorted(
        tried.answered_at_us for request in requests for tried in request.tries if tried.status == HTTPStatus.ACCEPTED
    )
    gaps = []
    for at_us in faults_at_us:
        near = [
            later - earlier for earlier, later in pairwise(accepted) if later >= at_us and earlier <= at_us + WINDOW_US
        ]
        gaps.append(max(near, default=0) / 1_000_000)
    return gaps
