"""Acknowledged means on disk: the broker's system calls, recorded by strace, show when it synced what.

A message's bytes go into a block file of the stream; before the client is told, that file has to be synced.
"""

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Gateway, Projector

PAYMENTS = 5
SYSTEM_CALLS = "write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync"


def can_trace() -> bool:
    """strace may be missing, or forbidden, as it is in many containers."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-D", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace")


def unsynced(trace: Sequence[str], payments: Sequence[str]) -> list[str]:
    """The payments whose acknowledgement left before the block file that they were written to was synced.

    Raises AssertionError for one that was not written, or not acknowledged: then nothing is shown.
    """
    early = []
    for number, payment in enumerate(payments, start=1):
        written, file = next(_written(trace, payment), (None, ""))
        assert written is not None, f"{payment} is in no block file"
        acknowledged = next(
            (line for line in range(written, len(trace)) if _is_acknowledgement(trace[line], number)), None
        )
        assert acknowledged is not None, f"{payment} was not acknowledged"
        if not any(_ends_sync(trace, line, file) for line in range(written + 1, acknowledged)):
            early.append(payment)
    return early


def _written(trace: Sequence[str], payment: str) -> Iterator[tuple[int, str]]:
    for line, call in enumerate(trace):
        match = re.search(r"\bp?writev?(?:64)?\(\d+<([^>]*\.blk)>", call)
        if match and payment in call:
            yield line, match[1]


def _is_acknowledgement(call: str, sequence: int) -> bool:
    # The quotes of the JSON are escaped in the trace.
    return "<TCP" in call and f'{{\\"stream\\":\\"PAYMENTS\\",\\"seq\\":{sequence}}}' in call


def _ends_sync(trace: Sequence[str], line: int, file: str) -> bool:
    """Whether a sync of the file ends here. One that another thread's call interrupts in the trace is told in two."""
    call = trace[line]
    if re.search(rf"\bf(data)?sync\(\d+<{re.escape(file)}>\)\s+= 0", call):
        return True
    resumed = re.match(r"(\d+)\s.*<\.\.\. f(data)?sync resumed>\)\s+= 0", call)
    if resumed is None:
        return False
    begun = next((one for one in reversed(trace[:line]) if one.startswith(f"{resumed[1]} ")), "")
    return f"<{file}>" in begun and "sync(" in begun


class TracedNatsServer(NatsServer):
    """A nats-server whose system calls are written to `trace`."""

    def __init__(self, folder: Path, *, sync_interval: str) -> None:
        super().__init__(folder)
        self.trace = folder / "trace"
        configuration = folder / "nats.conf"
        configuration.write_text(
            configuration.read_text().replace("sync_interval: always", f"sync_interval: {sync_interval}")
        )
        # -D: the program itself stays our child, and can be stopped like any other. -yy: files and sockets by name.
        options = ["-D", "-f", "-yy", "-s", "512", "-e", f"trace={SYSTEM_CALLS}", "-o", str(self.trace)]
        self.command = ["strace", *options, *self.command]


@needs_strace
@pytest.mark.parametrize(("sync_interval", "is_durable"), [("always", True), ("10s", False)])
async def test_a_payment_is_synced_to_the_disk_before_it_is_accepted(
    tmp_path: Path, sync_interval: str, is_durable: bool
) -> None:
    server = TracedNatsServer(tmp_path / "nats", sync_interval=sync_interval)
    ids = [str(uuid.uuid4()) for _ in range(PAYMENTS)]
    with server, Projector(server.url, tmp_path), Gateway(server.url, tmp_path) as gateway:
        async with aiohttp.ClientSession() as session:
            await gateway.ready(session)
            for payment in ids:
                async with session.post(
                    f"{gateway.url}/payments", json={"correlationId": payment, "amount": 19.90}
                ) as response:
                    assert response.status == 202, await response.text()
        server.stop()

    async def is_written() -> bool:
        # strace pads a process id to five characters.
        return f"{server.pid:<5} +++ exited with" in server.trace.read_text(errors="replace")

    await eventually(is_written, what="strace has written all it saw")
    trace = server.trace.read_text(errors="replace").splitlines()
    assert unsynced(trace, ids) == ([] if is_durable else ids)


BLOCK = "/store/msgs/1.blk"
WRITE = f'7 pwrite64(8<{BLOCK}>, "Nats-Msg-Id: one", 16, 0) = 16'
ACKNOWLEDGE = (
    '7 writev(9<TCP:[1->2]>, [{iov_base="MSG x 1 29\\r\\n{\\"stream\\":\\"PAYMENTS\\",\\"seq\\":1}"}], 1) = 100'
)
SYNC = f"7 fsync(8<{BLOCK}>) = 0"


@pytest.mark.parametrize(
    ("trace", "early"),
    [
        ([WRITE, SYNC, ACKNOWLEDGE], []),
        ([WRITE, ACKNOWLEDGE], ["one"]),
        ([WRITE, ACKNOWLEDGE, SYNC], ["one"]),
        ([SYNC, WRITE, ACKNOWLEDGE], ["one"]),
        ([WRITE, "7 fsync(8</store/msgs/2.blk>) = 0", ACKNOWLEDGE], ["one"]),
        ([WRITE, f"7 fsync(8<{BLOCK}>) = -1 EIO", ACKNOWLEDGE], ["one"]),
        ([WRITE, f"7 fsync(8<{BLOCK}> <unfinished ...>", "7 <... fsync resumed>) = 0", ACKNOWLEDGE], []),
        ([WRITE, f"7 fsync(8<{BLOCK}> <unfinished ...>", ACKNOWLEDGE, "7 <... fsync resumed>) = 0"], ["one"]),
    ],
)
def test_the_order_of_write_sync_and_acknowledgement_is_told_apart(trace: list[str], early: list[str]) -> None:
    assert unsynced(trace, ["one"]) == early
