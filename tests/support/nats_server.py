"""A real nats-server with JetStream, on a free port and a folder of its own."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.ports import free_port
from tests.support.programs import Program

CONFIGURATION = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", sync_interval: always{limits} }}
max_payload: 65536
"""


PROJECT = Path(__file__).parents[2]
USERS = ("gateway", "processor", "projector", "operator", "console")


class _Server(Program):
    def __init__(self, folder: Path, arguments: Sequence[str], env: dict[str, str] | None = None) -> None:
        super().__init__([str(BIN / "nats-server"), *arguments], log=folder / "nats.log", env=env)
        self.port = 0

    async def ready(self) -> None:
        """Waits until it accepts connections."""

        async def takes_connections() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(takes_connections, what=f"nats-server on port {self.port} takes connections")


class NatsServer(_Server):
    """A server without users. `limits` is added to the `jetstream` block, for tests of a full store."""

    def __init__(self, folder: Path, *, limits: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "nats.conf"
        super().__init__(folder, ["-c", str(configuration)])
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.store = folder / "store"
        configuration.write_text(CONFIGURATION.format(port=self.port, store=self.store, limits=limits))


class GuardedNatsServer(_Server):
    """A server with the project's own nats.conf or nats-purge.conf, and its users."""

    def __init__(
        self,
        folder: Path,
        *,
        config: str | Path = "nats.conf",
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store = folder / "store"
        self.passwords = {user: f"p-{user}-only-for-tests" for user in USERS}
        port, monitor_port = free_port(), free_port()
        flags = ["--config", str(PROJECT / config), "--port", str(port), "--http_port", str(monitor_port)]
        env = {f"NATS_{user.upper()}_PASSWORD": password for user, password in self.passwords.items()}
        super().__init__(
            folder,
            [*flags, *arguments],
            {
                "NATS_STORE_DIR": f'"{self.store}"',
                "NATS_SYNC_INTERVAL": "always",
                **env,
                **(environment or {}),
            },
        )
        self.port = port

    def url(self, user: str) -> str:
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{self.port}"


def with_block(block: str, folder: Path) -> Path:
    """nats.conf with one of its prepared blocks enabled, as its comment describes."""
    text = (PROJECT / "nats.conf").read_text()
    found = re.search(rf"^#{block} {{\n(#.*\n)*?#}}\n", text, re.MULTILINE)
    assert found is not None, f"nats.conf has no prepared block {block}"
    path = folder / "nats.conf"
    path.write_text(text.replace(found[0], re.sub(r"^#", "", found[0], flags=re.MULTILINE)))
    return path
