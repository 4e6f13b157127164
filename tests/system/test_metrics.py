"""Every program of a running stack serves what docs/reference/metrics.md lists, and answers for the console."""

import re
import uuid
from pathlib import Path

import aiohttp

from tests.support.conditions import eventually
from tests.support.stack import Stack
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import ask_statistics
from tollgate.stack.credentials import ensure_credentials
from tollgate.stack.programs import MEASURED

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
PAYMENTS = 5


def documented(program: str) -> set[str]:
    """The names of the program's metrics on the page."""
    section = PAGE.read_text().split(f"## {program}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))


async def test_every_program_serves_the_documented_metrics_and_they_count(tmp_path: Path) -> None:
    async with Stack(tmp_path / "data") as stack, aiohttp.ClientSession() as http:
        for _ in range(PAYMENTS):
            payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
            async with http.post(f"{stack.url}/payments", json=payment) as answer:
                assert answer.status == 202
        async with http.post(f"{stack.url}/payments", json={}) as answer:
            assert answer.status == 422

        async def read(number: int) -> dict[str, float]:
            async with http.get(f"http://127.0.0.1:{stack.settings.metrics_port + number}/metrics") as answer:
                assert answer.status == 200
                lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
            return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

        async def total(name: str) -> float:
            return sum([(await read(number)).get(name, 0.0) for number in range(len(MEASURED))])

        async def is_settled() -> bool:
            try:
                return await total('tollgate_payments_settled_total{provider="default"}') == PAYMENTS
            except aiohttp.ClientConnectorError:
                # The edge is ready before the last program serves its metrics.
                return False

        await eventually(is_settled, what="the charges are counted")
        assert await total("tollgate_payments_accepted_total") == PAYMENTS
        assert await total('tollgate_payments_refused_total{reason="invalid"}') == 1
        assert await total('tollgate_settled_cents_total{provider="default"}') == PAYMENTS * 1990
        assert await total("tollgate_append_group_size_sum") == PAYMENTS
        for number, program in enumerate(MEASURED):
            served = {re.split(r"\{|_bucket|_sum|_count", name)[0] for name in await read(number)}
            assert documented(program.split("-")[0]) <= served, program

        console = ensure_credentials(stack.settings).url(stack.settings, "console")
        async with Broker(console, name="test") as broker:
            answers = await ask_statistics(broker)
        assert [one.name.split(" ")[0] for one in answers] == sorted(MEASURED)
        assert sum(one.samples.get("tollgate_payments_accepted_total", 0) for one in answers) == PAYMENTS
