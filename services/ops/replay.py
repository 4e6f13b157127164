"""`tollgate replay`: a stack made from nothing but a backup, and a comparison of its totals.

The stack runs in a temporary folder on its own ports, and charges nothing: it has neither processor nor simulators.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.money import format_cents
from tollgate.contract.read_model_api import Total
from tollgate.messaging.operator_command import BrokerAddress, broker_for_command
from tollgate.ops.archived_part import archived_part, linked
from tollgate.ops.backup import Account, back_up, read_account
from tollgate.ops.errors import ReplayError
from tollgate.ops.restore import restore_log
from tollgate.ops.side_stack import BUILD_SECONDS_MAX, SideStack
from tollgate.stack.credentials import operator_url

SETTLE_SECONDS_MAX = 60.0
DEMONSTRATION_PAYMENTS = 50
DEMONSTRATION_OPEN = 2
_POLL_SECONDS = 0.2
_TOKEN = {"X-Rinha-Token": "123"}
_ACCEPTED, _OK = 202, 200

Echo = Callable[[str], None]
Totals = Mapping[ProviderName, Total]


async def replay(backup: Path | None, echo: Echo, *, stay: bool, archive_dir: Path | None = None) -> int:
    """Replays a backup with the archive before it, or one that it makes.

    Returns 0 when the stack's summary equals the backup's, else 1.
    """
    with tempfile.TemporaryDirectory(prefix="tollgate-replay-") as temporary:
        folder = Path(temporary)
        archive = None
        if backup is None:
            backup = folder / "backup"
            await _demonstrate(folder / "first", backup, echo)
        else:
            archive = await asyncio.to_thread(archived_part, backup, archive_dir)
        own_archive = None if archive is None else await asyncio.to_thread(linked, archive, folder / "archive")
        side = SideStack(folder / "replay", charges=False, archive_dir=own_archive)
        echo(f"Restoring {backup} …" if archive is None else f"Restoring {backup}, archived before it: {archive.end} …")
        restored = await restore_log(
            side.settings, backup, allow_open=True, replicas=1, archive=archive, notes_in=own_archive
        )
        expected = read_account(backup)
        if expected is None:
            echo("The backup holds no account, so that of the restored log is used.")
            expected = restored
        echo("Starting a stack on it, without a processor …")
        async with side.running(), aiohttp.ClientSession() as session:
            totals = await _summary(session, side.settings.edge_url, expected.last_sequence)
            is_same = report(expected, totals, echo)
            if stay:
                echo(f"It answers at {side.settings.edge_url}; DATA_DIR={side.settings.data}. Ctrl-C ends it.")
                await asyncio.Event().wait()
    return 0 if is_same else 1


def report(expected: Account, totals: Totals, echo: Echo) -> bool:
    """Prints both summaries. Returns whether they are the same."""
    echo(f"\n{'':<10} {'backup':>24} {'replay':>24}")
    for name in PROVIDERS:
        echo(f"{name:<10} {_shown(expected.settled[name]):>24} {_shown(totals[name]):>24}")
    echo(f"{'open':<10} {expected.open:>24}   (this stack does not charge them)")
    is_same = expected.settled == totals
    echo("The same." if is_same else "NOT the same.")
    return is_same


async def _summary(session: aiohttp.ClientSession, url: str, last_sequence: int) -> Totals:
    """The summary, once the read model holds the log up to that sequence. Raises ReplayError."""
    deadline = time.monotonic() + BUILD_SECONDS_MAX
    why = "no answer"
    while time.monotonic() < deadline:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{url}/payments-summary") as response:
                body = await response.text()
                if response.status == _OK and int(response.headers["Tollgate-Position"]) >= last_sequence:
                    return _totals(json.loads(body, parse_float=Decimal))
                why = f"{response.status} {body}"
        await asyncio.sleep(_POLL_SECONDS)
    raise ReplayError(f"no summary of the whole log within {BUILD_SECONDS_MAX:.0f} s: {why}")


def _totals(summary: Any) -> Totals:
    return {
        name: Total(summary[name]["totalRequests"], int(Decimal(summary[name]["totalAmount"]) * 100))
        for name in PROVIDERS
    }


async def _demonstrate(data: Path, backup: Path, echo: Echo) -> None:
    """Starts a stack with simulators, sends payments through it, and backs it up."""
    echo("No backup was given: making one from a stack with simulated providers …")
    side = SideStack(data, charges=True)
    async with side.running(), aiohttp.ClientSession() as session:
        url = side.settings.edge_url
        echo(
            f"Posting {DEMONSTRATION_PAYMENTS} payments, and {DEMONSTRATION_OPEN} that both providers fail to charge …"
        )
        await _pay(session, url, DEMONSTRATION_PAYMENTS)
        await _until_settled(session, url, DEMONSTRATION_PAYMENTS)
        for provider in side.settings.provider_urls:
            body = {"failure": True}
            async with session.put(f"{provider}/admin/configurations/failure", json=body, headers=_TOKEN) as response:
                response.raise_for_status()
        await _pay(session, url, DEMONSTRATION_OPEN)
        async with broker_for_command(BrokerAddress(operator_url(side.settings))) as broker:
            account = await back_up(broker, backup, check=False)
        echo(f"Backed up: {account.last_sequence} messages.")


async def _pay(session: aiohttp.ClientSession, url: str, count: int) -> None:
    for number in range(count):
        body = {"correlationId": str(uuid4()), "amount": 10 + number}
        async with session.post(f"{url}/payments", json=body) as response:
            if response.status != _ACCEPTED:
                raise ReplayError(f"a payment was answered {response.status}: {await response.text()}")


async def _until_settled(session: aiohttp.ClientSession, url: str, count: int) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while sum(total.count for total in (await _summary(session, url, 0)).values()) < count:
        if time.monotonic() > deadline:
            raise ReplayError(f"{count} payments were not settled within {SETTLE_SECONDS_MAX:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)


def _shown(total: Total) -> str:
    return f"{total.count}  {format_cents(total.amount_cents)}"
