"""The queues of the log from which the replicas take units of work."""

from collections.abc import Mapping

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.subjects import CONSUMER, DOUBTS_CONSUMERS, RELEASED_CONSUMER, REQUESTED
from tollgate.messaging.durable_consumer import Queue

REQUESTS = Queue(CONSUMER, REQUESTED, 10_000)
"""PaymentRequested: done when the payment has ended, or an attempt of it is in doubt."""
DOUBTS: Mapping[ProviderName, Queue] = {
    name: Queue(DOUBTS_CONSUMERS[name], f"payments.in_doubt.{name}", 100_000) for name in PROVIDERS
}
"""PaymentInDoubt: done when that attempt is no longer in doubt."""
RELEASED = Queue(RELEASED_CONSUMER, "payments.released.*", 10_000)
"""PaymentReleased: done at once, except an operator's release: its payment is routed anew."""
QUEUES = (REQUESTS, *DOUBTS.values(), RELEASED)
