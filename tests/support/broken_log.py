"""Damage to the folder of a stopped broker: restored from an older copy, truncated, a bit flipped."""

import shutil
from pathlib import Path

from tests.support.nats_server import GuardedNatsServer, NatsServer

Server = NatsServer | GuardedNatsServer


def copy_of(server: Server, name: str) -> Path:
    """Copies the folder to one beside it."""
    return shutil.copytree(server.store, server.store.with_name(name))


def put_back(server: Server, copy: Path) -> None:
    """Replaces the folder by the copy."""
    shutil.rmtree(server.store)
    shutil.copytree(copy, server.store)


def cut_in_half(server: Server) -> None:
    """Cuts off the newest messages. A broker that was stopped in order has still stored how many there were."""
    path = _blocks(server.store)[-1]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def change_byte(folder: Path, text: bytes) -> None:
    """Flips one bit of the only message that holds the text, so that the broker's checksum is wrong."""
    found = [(path, path.read_bytes()) for path in _blocks(folder)]
    ((path, content),) = [(path, content) for path, content in found if text in content]
    at = content.index(text)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def _blocks(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/PAYMENTS/msgs/*.blk"), key=lambda path: int(path.stem))
