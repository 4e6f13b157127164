"""Access to NATS: the connection, the log and its readers, queries to the read model, operator commands.

nats-py imports aiohttp where it is installed, for addresses with ws:// that Tollgate refuses. That costs each program a
third of its start and 9 MB, so nats-py is imported here, before anything else can, as if aiohttp were missing.
"""

import contextlib
import sys
from collections.abc import Iterator
from importlib import import_module


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Lets imports of that module fail, unless it is imported already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


with _hidden("aiohttp"):
    import_module("nats")
