"""Whether an answer about a replicated stream comes from a leader that a majority still follows. Pure.

A leader that is cut off, or was stopped, leads on by its own view for some ten seconds. Its answers lack what was
stored since by the leader that the others elected. They elect one 4 s after they last received from the old one, or
later.
"""

from collections.abc import Mapping
from typing import Any

HEARD_NANOSECONDS_MAX = 2_500_000_000
"""A broker that the leader heard within this time has not elected another: heartbeats are sent each second."""


def replicas_in(info: Mapping[str, Any]) -> int:
    """How many brokers keep the stream."""
    return 1 + len((info.get("cluster") or {}).get("replicas") or ())


def doubt_about(info: Mapping[str, Any]) -> str | None:
    """Why a `STREAM.INFO` may lack what is stored; None when it does not, and for a stream on one broker."""
    cluster = info.get("cluster") or {}
    others = cluster.get("replicas") or []
    if not others:
        return None
    if not cluster.get("leader"):
        return "no broker leads the log"
    # 0 is that of a broker that this leader has never heard.
    heard = 1 + sum(0 < one.get("active", 0) <= HEARD_NANOSECONDS_MAX for one in others)
    if heard * 2 <= len(others) + 1:
        return f"its leader {cluster['leader']} hears from too few of the other brokers"
    return None
