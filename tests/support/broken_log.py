"""What may happen to the folder of a stopped broker: put back to an older copy, cut short, a byte changed."""

import shutil
from pathlib import Path

from tests.support.nats_server import GuardedNatsServer, NatsServer

Server = NatsServer | GuardedNatsServer


def copy_of(server: Server, name: str) -> Path:
    """A copy of the folder, beside it."""
    return shutil.copytree(server.store, server.store.with_name(name))


def put_back(server: Server, copy: Path) -> None:
    """The copy takes the place of the folder."""
    shutil.rmtree(server.store)
    shutil.copytree(copy, server.store)


def cut_in_half(server: Server) -> None:
    """The newest messages are cut off; where the broker was stopped in order, it still knows how many there were."""
    path = _blocks(server.store)[-1]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def change_byte(folder: Path, text: bytes) -> None:
    """One bit of the only message that holds the text; the broker's checksum of the message is then wrong."""
    found = [(path, path.read_bytes()) for path in _blocks(folder)]
    ((path, content),) = [(path, content) for path, content in found if text in content]
    at = content.index(text)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def _blocks(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/PAYMENTS/msgs/*.blk"), key=lambda path: int(path.stem))
