"""A real nats-server with JetStream, on a free port and a folder of its own."""

import asyncio
from pathlib import Path

from support.conditions import eventually
from support.ports import free_port
from support.programs import BIN, Program

CONFIGURATION = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", sync_interval: always{limits} }}
max_payload: 65536
"""


class NatsServer(Program):
    """`limits` is put into the `jetstream` block, for tests of a full store."""

    def __init__(self, folder: Path, *, limits: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        configuration = folder / "nats.conf"
        configuration.write_text(CONFIGURATION.format(port=self.port, store=folder / "store", limits=limits))
        super().__init__([str(BIN / "nats-server"), "-c", str(configuration)], log=folder / "nats.log")

    async def ready(self) -> None:
        """Waits until it takes connections."""

        async def takes_connections() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(takes_connections, what=f"nats-server on port {self.port} takes connections")
