"""Requests that proxy and gateway could read differently, beside clients who check that every answer is their own.

EDGE_ATTACK_SEED and EDGE_ATTACK_ROUNDS draw others and more of them, EDGE_ATTACK_ONLY names one of support/attacks.py.
"""

import asyncio
import os
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from tests.support.attacks import ATTACKS, Attack, drawn, hidden_request
from tests.support.edge import Edge
from tests.support.raw_http import RawConnection

SEED = int(os.environ.get("EDGE_ATTACK_SEED", "1"))
ROUNDS = int(os.environ.get("EDGE_ATTACK_ROUNDS", "1"))
ONLY = os.environ.get("EDGE_ATTACK_ONLY")
CLIENTS = 4
ATTACKERS = 4
ANSWER_SECONDS = 5


@dataclass(slots=True)
class Clients:
    """Ordinary clients: each asks for payments of its own, every third of which must be refused."""

    url: str
    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    is_over: bool = False

    async def run(self) -> None:
        # One connection each, so that they share those between proxy and gateways with the attackers.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            number = 0
            while not self.is_over:
                number += 1
                await self._ask(session, str(uuid.uuid4()), is_refused=number % 3 == 0)

    async def _ask(self, session: aiohttp.ClientSession, correlation_id: str, *, is_refused: bool) -> None:
        order = {"correlationId": correlation_id, "amount": -1 if is_refused else 1}
        async with session.post(f"{self.url}/payments", json=order) as response:
            found = response.status, response.headers.get("Location")
        right = (422, None) if is_refused else (202, f"/payments/{correlation_id}")
        self.answers += 1
        if found != right:
            self.wrong.append(f"{correlation_id}: {found}")


async def _attack(port: int, attack: Attack) -> int:
    """The status of its first answer; 0 without any."""
    async with await RawConnection.open(port) as connection:
        await connection.send(*attack.parts, apart_seconds=0.01)
        if attack.is_cut_off:
            connection.end_sending()
        return (await connection.answer(timeout_seconds=ANSWER_SECONDS)).status


async def _was_made(session: aiohttp.ClientSession, url: str, correlation_id: str) -> bool:
    """Whether the id is known: only then is another amount a conflict, or 503 where the read model cannot be asked."""
    async with session.post(f"{url}/payments", json={"correlationId": correlation_id, "amount": 2}) as response:
        assert response.status in (202, 409, 503), await response.text()
        return response.status != 202


async def test_each_client_gets_its_own_answers_and_no_hidden_payment_is_made(edge: Edge) -> None:
    url, rng = f"http://127.0.0.1:{edge.http_port}", random.Random(SEED)
    names = [name for _ in range(ROUNDS) for name in ([ONLY] if ONLY else rng.sample(sorted(ATTACKS), len(ATTACKS)))]
    hidden = [(name, str(uuid.UUID(int=rng.getrandbits(128), version=4))) for name in names]
    pending = iter([(name, one, drawn(rng, hidden_request(one), name)) for name, one in hidden])
    statuses: Counter[tuple[str, int]] = Counter()

    async def attacker() -> None:
        for name, _, attack in pending:
            statuses[name, await _attack(edge.http_port, attack)] += 1

    clients = Clients(url)
    running = [asyncio.create_task(clients.run()) for _ in range(CLIENTS)]
    await asyncio.gather(*(attacker() for _ in range(ATTACKERS)))
    clients.is_over = True
    await asyncio.gather(*running)

    async with aiohttp.ClientSession() as session:
        made = [name for name, one in hidden if await _was_made(session, url, one)]
    told_accepted = [name for name, status in statuses if status == 202]
    print(f"{len(names)} attacks: {len(made)} hidden made; {clients.answers} answers: {len(clients.wrong)} swapped")
    assert (made, clients.wrong, told_accepted) == ([], [], [])
    assert clients.answers > len(names) / 2, "the clients were there all the while"
