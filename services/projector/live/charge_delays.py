"""How long it takes from the stamp of an attempt until its answer arrives, as far as the log shows it. Pure.

The shortest such time among charges with nearly the same stamp is the earliest at which another one's answer is due.
"""

from collections import OrderedDict

from tollgate.contract.events import PROVIDERS, ProviderName

BUCKET_US = 100_000
"""Stamps are grouped by this width."""
NEIGHBOUR_BUCKETS = 15
"""Charges stamped up to 1.5 s before or after an attempt show when its answer is due."""
BUCKETS_MAX = 600
"""Kept for each provider: a minute of stamps; beyond it the group that was opened first is dropped."""


class ChargeDelays:
    """The shortest delay of each provider by stamp, in microseconds. Lookups are safe from another thread."""

    def __init__(self) -> None:
        self._shortest_us: dict[ProviderName, OrderedDict[int, int]] = {name: OrderedDict() for name in PROVIDERS}
        self._latest_us: dict[ProviderName, int] = dict.fromkeys(PROVIDERS, 0)

    def observe(self, provider: ProviderName, requested_at_us: int, processed_at_us: int) -> None:
        """Records a charge. One that was answered before its stamp, by a wrong clock, shows nothing."""
        delay_us = processed_at_us - requested_at_us
        if delay_us < 0:
            return
        self._latest_us[provider] = delay_us
        buckets, bucket = self._shortest_us[provider], requested_at_us // BUCKET_US
        buckets[bucket] = min(delay_us, buckets.get(bucket, delay_us))
        if len(buckets) > BUCKETS_MAX:
            buckets.popitem(last=False)

    def near_us(self, provider: ProviderName, requested_at_us: int) -> int | None:
        """The shortest delay of charges stamped near `requested_at_us`; None if there are none."""
        buckets, middle = self._shortest_us[provider], requested_at_us // BUCKET_US
        near = range(middle - NEIGHBOUR_BUCKETS, middle + NEIGHBOUR_BUCKETS + 1)
        return min((delay_us for bucket in near if (delay_us := buckets.get(bucket)) is not None), default=None)

    def due_at_us(self, provider: ProviderName, requested_at_us: int) -> int:
        """When the answer to an attempt is due if the provider is as fast as near it, or as it was last."""
        near_us = self.near_us(provider, requested_at_us)
        return requested_at_us + (self._latest_us[provider] if near_us is None else near_us)
