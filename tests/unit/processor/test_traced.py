"""What a processor's spans show of a payment that goes wrong: one wait, each decision and call, and why they failed."""

from collections.abc import Sequence
from dataclasses import replace

from tollgate.contract.events import Event, PaymentReleased, PaymentRouted, ProviderName
from tollgate.messaging.log import Appended
from tollgate.processor.charging.outcomes import Answer, Attempt, Failed, LookupAnswer, Missing, NotReached
from tollgate.processor.charging.provider import Provider
from tollgate.processor.charging.provider_contract import CONTEST
from tollgate.processor.traced import TracedAppender, TracedProviders, _Taken, _taken
from tollgate.runtime.tracing import Span

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
OTHER = "00000000-0000-4000-8000-000000000001"
INTENT = PaymentRouted(ID, 1990, 1, "default", 1_000, "cheapest: default 500")
ADDRESSES: dict[ProviderName, Provider] = {
    "default": Provider("http://user:s3cret@default:8080", CONTEST, None),
    "fallback": Provider("https://fallback", CONTEST, None),
}


class Recorder:
    """Keeps spans. Its clock advances by 10 with each look."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._now_us = 100

    def samples(self, correlation_id: str) -> bool:
        return correlation_id == ID

    def now_us(self) -> int:
        self._now_us += 10
        return self._now_us

    def record(self, span: Span) -> None:
        self.spans.append(span)


class StoringLog:
    """Stores every event."""

    def __init__(self) -> None:
        self.stored: list[Event] = []

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        del timeout_seconds
        self.stored.append(event)
        return Appended(len(self.stored))


class AnsweringProviders:
    """Gives the answers in turn; none is found by a lookup."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)

    async def send(self, attempt: Attempt) -> Answer:
        del attempt
        return self._answers.pop(0)

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        del provider, correlation_id
        return Missing()


async def test_a_payment_that_is_sent_twice_has_one_wait_and_gapless_steps() -> None:
    recorder, log = Recorder(), StoringLog()
    appender = TracedAppender(log, recorder)
    providers = TracedProviders(
        AnsweringProviders([Failed("status 500"), NotReached("no connection")]), ADDRESSES, recorder
    )
    taken = _taken.set(_Taken(stored_at_us=10, since_us=100, deliveries=3))
    try:
        for intent in (INTENT, replace(INTENT, attempt=2, provider="fallback")):
            await appender.append(intent, timeout_seconds=1)
            await providers.send(intent)
            if intent.provider == "default":
                await providers.look_up(intent.provider, ID)
            released = PaymentReleased(ID, intent.attempt, intent.provider, "why")
            await appender.append(released, timeout_seconds=1)
    finally:
        _taken.reset(taken)
    assert [span.name for span in recorder.spans] == [
        "wait payments.requested",
        *("decide", "append payments.routed.default", "charge default", "look up default"),
        "append payments.released.default",
        *("decide", "append payments.routed.fallback", "charge fallback"),
        "append payments.released.fallback",
    ]
    wait, first, *_ = recorder.spans
    assert (wait.began_us, wait.ended_us, wait.attributes["tollgate.deliveries"]) == (10, 100, 3)
    assert (first.began_us, first.attributes["tollgate.decision.reason"]) == (100, INTENT.why)
    second = recorder.spans[6]
    assert second.began_us == recorder.spans[5].ended_us, "the next decision begins where the last step ended"
    assert all(span.began_us <= span.ended_us for span in recorder.spans)
    charge, refused = recorder.spans[3], recorder.spans[8]
    assert (charge.error, charge.attributes["tollgate.outcome"]) == ("status 500", "Failed")
    assert (refused.error, refused.attributes["error.type"]) == ("no connection", "NotReached")
    assert (charge.attributes["server.address"], charge.attributes["server.port"]) == ("default", 8080)
    assert refused.attributes["server.port"] == 443
    assert "s3cret" not in str(recorder.spans)


async def test_a_payment_that_is_not_sampled_is_handled_alike_and_leaves_nothing() -> None:
    recorder, log = Recorder(), StoringLog()
    providers = TracedProviders(AnsweringProviders([Failed("status 500")]), ADDRESSES, recorder)
    intent = replace(INTENT, correlation_id=OTHER)
    assert await TracedAppender(log, recorder).append(intent, timeout_seconds=1) == Appended(1)
    assert await providers.send(intent) == Failed("status 500")
    assert await providers.look_up("default", OTHER) == Missing()
    assert log.stored == [intent]
    assert recorder.spans == []
