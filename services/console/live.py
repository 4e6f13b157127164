"""The message that every open page shows: one JSON object a second. Pure.

Amounts are cents, times milliseconds since the epoch, ages seconds. A part that is null was not answered.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict

import orjson

from tollgate.console.observation import Observation
from tollgate.console.programs import KnownPrograms
from tollgate.console.providers import call_buckets, provider_metrics
from tollgate.console.samples import Buckets, Point, Sample, buckets_of, increase, point_between
from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.fees import BASIS_POINTS, FEE_BASIS_POINTS, paid_and_saved_cents
from tollgate.contract.read_model_api import Charging, DoubtView, Status
from tollgate.contract.rebuild_progress import PROGRAM as REBUILD
from tollgate.contract.rebuild_progress import progress_in
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.contract.waiting import OLDEST_SECONDS_MAX, ChargingFacts

RATE_SECONDS = 5
"""The live rates are means over so long."""
QUANTILE_SECONDS = 60
"""The live quantiles are of the observations of so long."""
ACCEPT_LATENCY = "tollgate_accept_duration_seconds"
"""The gateways' histogram: from the request to its 202."""
SAMPLES_MAX = QUANTILE_SECONDS + 1


def sample_of(observation: Observation) -> Sample:
    """The counters of an observation."""
    status, charging = observation.status, observation.charging
    facts = observation.facts
    return Sample(
        at_us=observation.at_us,
        accepted=None if status is None else _accepted(status),
        settled=None if charging is None else {name: total.count for name, total in charging.totals.items()},
        queue=None if facts is None or facts.queue is None else facts.queue.length,
        in_doubt=None if charging is None else charging.in_doubt,
        accept_buckets=buckets_of((one.samples for one in observation.programs), ACCEPT_LATENCY),
        call_buckets=call_buckets(one.samples for one in observation.programs),
    )


def _accepted(status: Status) -> int:
    """Every payment in the log; unlike a program's counter it survives a restart."""
    return status.settled + status.rejected + status.pending + status.routed + status.in_doubt


class Recent:
    """The samples of the last QUANTILE_SECONDS, SAMPLES_MAX at most."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)

    def add(self, sample: Sample) -> None:
        """Adds a sample; one without answers is left out."""
        if sample.accepted is not None and sample.settled is not None:
            self._samples.append(sample)

    def over(self, seconds: int) -> Point | None:
        """The point from the sample that is so old, or the oldest, to the newest; None with fewer than two."""
        pair = self._pair(seconds)
        return None if pair is None else point_between(*pair)

    def calls_over(self, seconds: int, provider: ProviderName) -> Buckets:
        """The answer times of the provider's calls over the same time."""
        pair = self._pair(seconds)
        if pair is None:
            return {}
        earlier, later = (one.call_buckets.get(provider, {}) for one in pair)
        return increase(earlier, later)

    def _pair(self, seconds: int) -> tuple[Sample, Sample] | None:
        if len(self._samples) < 2:  # noqa: PLR2004 - a rate needs two
            return None
        newest = self._samples[-1]
        old = [one for one in self._samples if newest.at_us - one.at_us >= seconds * MICROSECONDS]
        return old[-1] if old else self._samples[0], newest


def render_live(observation: Observation, recent: Recent, point: Point | None, programs: KnownPrograms) -> bytes:
    """The message."""
    # Without answers the newest sample is an old one.
    is_answered = observation.status is not None and observation.charging is not None
    rates = recent.over(RATE_SECONDS) if is_answered else None
    quantiles = recent.over(QUANTILE_SECONDS) if is_answered else None
    return orjson.dumps(
        {
            "atMs": observation.at_us // 1_000,
            "troubles": observation.troubles,
            "rates": _rates(rates),
            "latency": None if quantiles is None else {"p50Ms": quantiles.p50_ms, "p99Ms": quantiles.p99_ms},
            "providers": _providers(observation, rates, quantiles, recent),
            "payments": None if observation.status is None else _payments(observation.status),
            "queue": None if observation.facts is None else _queue(observation.facts),
            "doubts": None if observation.charging is None else _doubts(observation.charging, observation.at_us),
            "fees": None if observation.charging is None else _fees(observation.charging),
            "log": _log(observation),
            "rebuild": _rebuild(observation),
            "programs": [asdict(one) for one in programs.states(observation)],
            "point": None if point is None else asdict(point),
        }
    )


def _rates(point: Point | None) -> dict[str, float | None]:
    if point is None:
        return {"accepted": None, "settled": None}
    parts = (point.default, point.fallback)
    settled = None if None in parts else sum(part for part in parts if part is not None)
    return {"accepted": point.accepted, "settled": settled}


def _payments(status: Status) -> dict[str, int]:
    return {name: getattr(status, name) for name in ("settled", "rejected", "pending", "routed", "in_doubt")}


def _providers(
    observation: Observation, rates: Point | None, lately: Point | None, recent: Recent
) -> list[dict[str, object]]:
    totals = None if observation.charging is None else observation.charging.totals
    count = 0 if totals is None else sum(total.count for total in totals.values())
    samples = [one.samples for one in observation.programs]
    return [
        {
            "name": name,
            "rate": None if rates is None else getattr(rates, name),
            "count": None if totals is None else totals[name].count,
            "amountCents": None if totals is None else totals[name].amount_cents,
            "share": None if totals is None or not count else totals[name].count / count,
            "recentShare": None if lately is None else _share(lately, name),
            "feeShare": FEE_BASIS_POINTS[name] / BASIS_POINTS,
            **provider_metrics(name, samples, recent.calls_over(QUANTILE_SECONDS, name)),
        }
        for name in PROVIDERS
    ]


def _share(lately: Point, name: ProviderName) -> float | None:
    """The provider's part of what was settled; None if nothing was."""
    rates = {one: getattr(lately, one) for one in PROVIDERS}
    if None in rates.values() or not sum(rates.values()):
        return None
    share: float = rates[name] / sum(rates.values())
    return share


def _queue(facts: ChargingFacts) -> dict[str, object]:
    queue, oldest = facts.queue, facts.oldest
    is_waiting = oldest is not None and oldest.age_seconds > 1
    return {
        "waiting": None if queue is None else queue.waiting,
        "underWay": None if queue is None else queue.under_way,
        "oldestSeconds": None if oldest is None else oldest.age_seconds,
        "oldestId": None if oldest is None else oldest.correlation_id,
        "isTooOld": facts.trouble(OLDEST_SECONDS_MAX) is not None,
        "causes": facts.causes() if is_waiting else [],
    }


def _doubts(charging: Charging, now_us: int) -> dict[str, object]:
    return {
        "count": charging.in_doubt,
        "listed": [_doubt(one, now_us) for one in charging.doubts],
        "notListed": charging.in_doubt - len(charging.doubts),
    }


def _doubt(doubt: DoubtView, now_us: int) -> dict[str, object]:
    return {
        "correlationId": doubt.correlation_id,
        "amountCents": doubt.amount_cents,
        "provider": doubt.provider,
        "attempt": doubt.attempt,
        # Not below zero: the clocks of the programs may differ.
        "ageSeconds": max(now_us - doubt.since_us, 0) / MICROSECONDS,
        "why": doubt.why,
        "isHeld": doubt.is_held,
        "commands": {
            "charged": f"tollgate processor resolve {doubt.correlation_id} --charged --note '…'",
            "notCharged": f"tollgate processor resolve {doubt.correlation_id} --not-charged --note '…'",
        },
    }


def _fees(charging: Charging) -> dict[str, int]:
    amounts = {name: total.amount_cents for name, total in charging.totals.items()}
    paid, saved = paid_and_saved_cents(amounts)
    return {"paidCents": paid, "savedCents": saved, "profitCents": sum(amounts.values()) - paid}


def _log(observation: Observation) -> Mapping[str, int | None]:
    position = None if observation.status is None else observation.status.position
    end = observation.log_end
    behind = None if position is None or end is None else max(end - position, 0)
    size = None if observation.facts is None else observation.facts.log_size
    return {
        "end": end,
        "position": position,
        "behind": behind,
        "bytes": None if size is None else size.bytes,
        "bytesMax": None if size is None else size.bytes_max,
    }


def _rebuild(observation: Observation) -> dict[str, object] | None:
    """The progress of a rebuild; None while none runs."""
    for one in observation.programs:
        if one.program == REBUILD:
            progress = progress_in(one.samples)
            return {
                "read": progress.read,
                "left": progress.left,
                "share": progress.share,
                "secondsLeft": progress.seconds_left,
                "isComparing": progress.is_comparing,
            }
    return None
