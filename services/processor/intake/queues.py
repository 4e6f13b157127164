"""The queues of the log that the replicas take work from."""

from collections.abc import Mapping

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.subjects import CONSUMER, DOUBTS_CONSUMERS, RELEASED_CONSUMER, REQUESTED
from tollgate.messaging.durable_consumer import Queue

REQUESTS = Queue(CONSUMER, REQUESTED, 10_000)
"""PaymentRequested: done with when the payment has ended, or an attempt of it is in doubt."""
DOUBTS: Mapping[ProviderName, Queue] = {
    name: Queue(DOUBTS_CONSUMERS[name], f"payments.in_doubt.{name}", 100_000) for name in PROVIDERS
}
"""PaymentInDoubt: done with when that attempt is in doubt no more."""
RELEASED = Queue(RELEASED_CONSUMER, "payments.released.*", 10_000)
"""PaymentReleased: done with at once, except that an operator's release is a request to route the payment anew."""
QUEUES = (REQUESTS, *DOUBTS.values(), RELEASED)
