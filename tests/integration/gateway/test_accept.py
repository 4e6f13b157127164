"""A real gateway with a real broker stores each accepted payment durably, and once."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Gateway, Projector
from tollgate.contract.batch import events_in
from tollgate.contract.codec import decode
from tollgate.contract.events import LedgerPurged, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.subjects import REQUESTED
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log

PROBLEM = "application/problem+json"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as opened:
        yield opened


@pytest.fixture
async def gateway(
    nats_server: NatsServer, tmp_path: Path, session: aiohttp.ClientSession, log: Log
) -> AsyncIterator[Gateway]:
    with Gateway(nats_server.url, tmp_path, ALLOW_PURGE="true") as running:
        await running.ready(session)
        yield running


@pytest.fixture
async def projector(nats_server: NatsServer, tmp_path: Path, gateway: Gateway) -> AsyncIterator[Projector]:
    with Projector(nats_server.url, tmp_path) as running:
        yield running


class Client:
    def __init__(self, session: aiohttp.ClientSession, gateway: Gateway) -> None:
        self.session = session
        self.url = gateway.url

    async def pay(self, correlation_id: str | None = None, amount: str = "19.90") -> aiohttp.ClientResponse:
        body = f'{{"correlationId":"{correlation_id or uuid.uuid4()}","amount":{amount}}}'
        headers = {"Content-Type": "application/json"}
        async with self.session.post(f"{self.url}/payments", data=body, headers=headers) as response:
            await response.read()
            return response

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}{path}") as response:
            body = await response.read()
            return response.status, orjson.loads(body) if body else None

    async def summary_answers(self) -> bool:
        status, _ = await self.get("/payments-summary")
        return status == 200


@pytest.fixture
def client(session: aiohttp.ClientSession, gateway: Gateway) -> Client:
    return Client(session, gateway)


async def last_sequence(broker: Broker) -> int:
    return (await broker.log_state(timeout_seconds=5)).last_sequence


async def event_at(log: Log, sequence: int) -> Any:
    return await log.event_at(sequence, deadline=asyncio.get_running_loop().time() + 5)


async def test_an_accepted_payment_is_in_the_log_when_it_is_answered(client: Client, log: Log, broker: Broker) -> None:
    correlation_id = str(uuid.uuid4())
    response = await client.pay(correlation_id, "0.01")
    assert (response.status, response.headers["Location"]) == (202, f"/payments/{correlation_id}")
    event = await event_at(log, await last_sequence(broker))
    assert (event.correlation_id, event.amount_cents) == (correlation_id, 1)


async def test_the_same_request_again_is_accepted_and_stored_once(client: Client, broker: Broker) -> None:
    correlation_id = str(uuid.uuid4())
    answers = await asyncio.gather(*(client.pay(correlation_id) for _ in range(20)))
    assert {answer.status for answer in answers} <= {202, 503}, "a repeat may not be checkable without a projector"
    assert 202 in {answer.status for answer in answers}
    assert await last_sequence(broker) == 1


async def test_an_id_is_the_same_in_any_letter_case(client: Client, broker: Broker, projector: Projector) -> None:
    correlation_id = str(uuid.uuid4())
    await eventually(client.summary_answers, what="projector answers")
    for text in (correlation_id, correlation_id.upper(), correlation_id.title()):
        response = await client.pay(text)
        assert (response.status, response.headers["Location"]) == (202, f"/payments/{correlation_id}")
    assert await last_sequence(broker) == 1


async def test_the_same_id_with_another_amount_is_a_conflict(
    client: Client, broker: Broker, projector: Projector
) -> None:
    correlation_id = str(uuid.uuid4())
    await eventually(client.summary_answers, what="projector answers")
    first, second = await asyncio.gather(client.pay(correlation_id, "1"), client.pay(correlation_id, "2"))
    third = await client.pay(correlation_id, "3")
    assert sorted((first.status, second.status)) == [202, 409]
    assert (third.status, third.content_type) == (409, PROBLEM)
    assert await last_sequence(broker) == 1


async def test_a_repeat_is_recognised_long_after_the_duplicate_window(
    nats_server: NatsServer, broker: Broker, tmp_path: Path, session: aiohttp.ClientSession, log: Log
) -> None:
    window = {"LOG_DUPLICATE_WINDOW_SECONDS": "2"}
    with Projector(nats_server.url, tmp_path, **window), Gateway(nats_server.url, tmp_path, **window) as gateway:
        await gateway.ready(session)
        client = Client(session, gateway)
        correlation_id = str(uuid.uuid4())
        await eventually(client.summary_answers, what="projector answers")
        assert (await client.pay(correlation_id, "5.00")).status == 202
        sequence = await last_sequence(broker)
        original = await event_at(log, sequence)

        async def broker_forgot() -> bool:
            # Another payment's id under the same message id: stored once the broker no longer knows it.
            reply = await broker.ask(
                "payments.rejected", b"{}", timeout_seconds=2, headers={"Nats-Msg-Id": original.correlation_id}
            )
            return not orjson.loads(reply.data).get("duplicate", False)

        await eventually(broker_forgot, what="the broker forgot the message id")
        sequence = await last_sequence(broker)
        assert (await client.pay(correlation_id, "5.00")).status == 202
        assert (await client.pay(correlation_id, "6.00")).status == 409
        assert await last_sequence(broker) == sequence

        # No purge: a subject is not an event.
        await broker.ask("payments.purged", b"junk", timeout_seconds=2)
        gateway.kill()
        gateway.start()
        await gateway.ready(session)
        assert (await client.pay(correlation_id, "6.00")).status == 409, "a gateway started anew knows it too"
        assert await last_sequence(broker) == sequence + 1


async def test_without_a_broker_nothing_is_accepted_and_the_answer_comes_in_time(
    nats_server: NatsServer, tmp_path: Path, session: aiohttp.ClientSession, log: Log, broker: Broker
) -> None:
    with Gateway(nats_server.url, tmp_path, GATEWAY_ACCEPT_TIMEOUT_SECONDS="0.5") as gateway:
        await gateway.ready(session)
        client = Client(session, gateway)
        nats_server.kill()
        async with asyncio.timeout(5):
            response = await client.pay()
        assert (response.status, response.content_type) == (503, PROBLEM)
        assert response.headers["Retry-After"] == "1"
        assert (await client.get("/readyz"))[0] == 503
        assert (await client.get("/livez"))[0] == 204
        nats_server.start()
        await gateway.ready(session)
        assert (await client.pay()).status == 202


async def test_a_gateway_that_starts_without_a_broker_answers_503_and_recovers(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    server = NatsServer(tmp_path / "late")
    with Gateway(server.url, tmp_path, GATEWAY_ACCEPT_TIMEOUT_SECONDS="0.2") as gateway:
        client = Client(session, gateway)
        await eventually(lambda: _is(client, "/livez", 204), what="alive")
        assert (await client.pay()).status == 503
        assert "a payment is refused: the gateway has not read the log yet" in gateway.output()
        with server, Projector(server.url, tmp_path):
            await gateway.ready(session)
            logged = gateway.output()
            assert (await client.pay()).status == 202
            assert gateway.output() == logged, "a payment that is accepted leaves no line"


async def test_a_payment_waits_for_a_gateway_that_has_just_started(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    server = NatsServer(tmp_path / "late")
    with Gateway(server.url, tmp_path, GATEWAY_ACCEPT_TIMEOUT_SECONDS="15") as gateway:
        client = Client(session, gateway)
        await eventually(lambda: _is(client, "/livez", 204), what="alive")
        paying = asyncio.create_task(client.pay())
        assert (await client.get("/startedz"))[0] == 503
        assert not paying.done()
        with server:
            with Projector(server.url, tmp_path):
                assert (await paying).status == 202
                assert (await client.get("/startedz"))[0] == 204
            server.kill()
            await eventually(lambda: _is(client, "/readyz", 503), what="not ready")
            assert (await client.get("/startedz"))[0] == 204, "it refuses with the reason what it cannot do now"


async def _is(client: Client, path: str, status: int) -> bool:
    """Whether the gateway answers so; false while it does not answer at all."""
    try:
        return bool((await client.get(path))[0] == status)
    except aiohttp.ClientError:
        return False


async def test_what_was_accepted_while_the_broker_was_killed_is_in_the_log(
    client: Client, broker: Broker, log: Log, nats_server: NatsServer
) -> None:
    answers: dict[str, int] = {}

    async def pay(number: int) -> None:
        correlation_id = str(uuid.UUID(int=number))
        answers[correlation_id] = (await client.pay(correlation_id)).status

    paying = [asyncio.create_task(pay(number)) for number in range(1, 101)]
    await asyncio.wait(paying[:1])
    nats_server.kill()
    paying += [asyncio.create_task(pay(number)) for number in range(101, 201)]
    nats_server.start()
    await asyncio.gather(*paying)
    accepted = {correlation_id for correlation_id, status in answers.items() if status == 202}
    assert set(answers.values()) <= {202, 503}
    deadline = asyncio.get_running_loop().time() + 10
    sequences = range(1, await last_sequence(broker) + 1)
    messages = [await log.payload_at(sequence, deadline=deadline) for sequence in sequences]
    stored = [event for message in messages for event in events_in(REQUESTED, message or b"")]  # type: ignore[union-attr]
    ids = [event.correlation_id for event in stored if isinstance(event, PaymentRequested)]
    assert accepted <= set(ids)
    assert len(ids) == len(set(ids)), "each once"


async def test_without_a_projector_payments_are_accepted_and_summaries_are_not_answered(client: Client) -> None:
    assert (await client.pay()).status == 202
    status, problem = await client.get("/payments-summary")
    assert (status, problem["detail"]) == (503, "no summary can be given now: the projector is away")


async def test_a_summary_of_the_past_names_its_place_and_one_that_is_not_yet_is_refused(
    client: Client, projector: Projector, broker: Broker
) -> None:
    await eventually(client.summary_answers, what="projector answers")
    await client.pay()
    async with client.session.get(f"{client.url}/payments-summary?asOf=1") as response:
        assert (response.status, response.headers["Tollgate-Position"]) == (200, "1")
        assert "Tollgate-Settled" not in response.headers
    status, problem = await client.get("/payments-summary?asOf=2")
    assert (status, problem["detail"]) == (400, "'asOf' lies beyond the log's end, which is 1")


async def test_a_payment_is_answered_with_its_history(client: Client, projector: Projector) -> None:
    await eventually(client.summary_answers, what="projector answers")
    correlation_id = str(uuid.uuid4())
    await client.pay(correlation_id)
    status, payment = await client.get(f"/payments/{correlation_id}")
    assert (status, payment["state"], payment["amount"]) == (200, "pending", 19.90)
    ((event,)) = payment["history"]
    assert (event["sequence"], event["event"]["type"]) == (1, "PaymentRequested")
    assert (await client.get(f"/payments/{uuid.uuid4()}"))[0] == 404
    assert (await client.get("/payments/not-a-uuid"))[0] == 422


async def test_a_history_has_nothing_of_the_payments_whose_events_share_its_messages(
    client: Client, projector: Projector, log: Log
) -> None:
    await eventually(client.summary_answers, what="projector answers")
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for correlation_id in ids:
        await client.pay(correlation_id)
    await log.append_together([PaymentRouted(one, 1990, 1, "default", 1, "why") for one in ids], timeout_seconds=5)
    await log.append_together([PaymentProcessed(one, 1990, 1, "default", 1, 2) for one in ids], timeout_seconds=5)
    _, payment = await client.get(f"/payments/{ids[1]}")
    assert payment["state"] == "processed"
    assert [one["sequence"] for one in payment["history"]] == [2, 4, 5]
    assert {one["event"]["correlationId"] for one in payment["history"]} == {ids[1]}


async def test_a_purge_voids_everything_and_ids_can_be_used_again(
    client: Client, projector: Projector, session: aiohttp.ClientSession, broker: Broker, log: Log
) -> None:
    await eventually(client.summary_answers, what="projector answers")
    correlation_id = str(uuid.uuid4())
    await client.pay(correlation_id, "1")
    async with session.post(f"{client.url}/purge-payments") as response:
        assert response.status == 200
    assert (await client.get(f"/payments/{correlation_id}"))[0] == 404
    state = await broker.log_state(timeout_seconds=2)
    assert isinstance(await event_at(log, state.first_sequence), LedgerPurged)
    assert (await client.pay(correlation_id, "2")).status == 202
    assert (await client.get(f"/payments/{correlation_id}"))[1]["amount"] == 2


async def test_purging_is_off_unless_the_operator_allows_it(
    nats_server: NatsServer, tmp_path: Path, session: aiohttp.ClientSession, log: Log
) -> None:
    with Gateway(nats_server.url, tmp_path) as gateway:
        await gateway.ready(session)
        async with session.post(f"{gateway.url}/purge-payments") as response:
            assert (response.status, response.content_type) == (403, PROBLEM)


async def test_the_docs_page_loads_nothing_from_other_hosts(client: Client, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{client.url}/docs/") as response:
        page = await response.text()
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/docs/assets/{asset}" in page
        async with session.get(f"{client.url}/docs/assets/{asset}") as response:
            assert response.status == 200
    _, document = await client.get("/openapi.json")
    assert set(document["paths"]) == {
        "/payments",
        "/payments/{correlation_id}",
        "/payments-summary",
        "/purge-payments",
        "/healthcheck",
        "/livez",
        "/readyz",
        "/startedz",
    }


async def test_events_in_the_log_are_json_that_a_person_can_read(client: Client, log: Log, broker: Broker) -> None:
    await client.pay("6F9619FF-8B86-D011-B42D-00CF4FC964FF", "19.90")
    payload = await log.payload_at(await last_sequence(broker), deadline=asyncio.get_running_loop().time() + 2)
    assert payload is not None
    fields = orjson.loads(payload)
    assert fields.pop("acceptedAt").endswith("Z")
    assert fields == {
        "type": "PaymentRequested",
        "version": 1,
        "correlationId": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
        "amountCents": 1990,
    }
    assert decode(payload)
