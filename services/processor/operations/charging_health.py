"""The health of charging, for an operator: what waits too long and why, and the state of each replica. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from tollgate.contract.clock_offset import clock_json
from tollgate.contract.read_model_api import Charging
from tollgate.contract.replicas import ReplicaStatus
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.contract.waiting import ChargingFacts


@dataclass(frozen=True, slots=True)
class ChargingHealth:
    """`troubles` is empty when charging is healthy."""

    troubles: Sequence[str]
    replicas: Sequence[ReplicaStatus]


def assess(
    charging: Charging | str,
    facts: ChargingFacts,
    now_us: int,
    *,
    oldest_seconds_max: float,
    doubt_seconds_max: float,
) -> ChargingHealth:
    """What waits or is in doubt for too long.

    `charging` is the answer of the read model, or the reason why there is none; `now_us` is the broker's time.
    """
    troubles = [] if (trouble := facts.trouble(oldest_seconds_max)) is None else [trouble]
    if isinstance(charging, str):
        return ChargingHealth([*troubles, f"what is charged and in doubt is unknown: {charging}"], facts.replicas)
    old = [one for one in charging.doubts if now_us - one.since_us > doubt_seconds_max * MICROSECONDS]
    if old:
        # Only the oldest are listed, and they come first.
        count = f"{len(old)} or more" if len(old) == len(charging.doubts) < charging.in_doubt else f"{len(old)}"
        seconds = (now_us - old[0].since_us) / MICROSECONDS
        troubles.append(
            f"{count} in doubt for more than {doubt_seconds_max:g} s, {old[0].correlation_id} for {seconds:.0f} s:"
            f" {old[0].why}"
        )
    return ChargingHealth(troubles, facts.replicas)


def health_lines(health: ChargingHealth) -> list[str]:
    """For a terminal."""
    return [f"health     {'; '.join(health.troubles) or 'fine'}", *map(_line, health.replicas)]


def health_object(health: ChargingHealth) -> dict[str, object]:
    """For programs."""
    return {
        "healthy": not health.troubles,
        "troubles": list(health.troubles),
        "replicas": [
            {
                "name": one.name,
                "obstacle": one.obstacle,
                "inHand": one.in_hand,
                "endedSecondsAgo": one.ended_seconds_ago,
                "clock": None if one.clock is None else clock_json(one.clock),
            }
            for one in health.replicas
        ],
    }


def _line(replica: ReplicaStatus) -> str:
    ended = (
        "none has ended since its start"
        if replica.ended_seconds_ago is None
        else f"one ended {replica.ended_seconds_ago:.0f} s ago"
    )
    obstacle = f"; {replica.obstacle}" if replica.obstacle else ""
    return (
        f"replica    {replica.name}: {replica.in_hand} in hand, {ended}, clock {replica.clock or 'unknown'}{obstacle}"
    )
