"""The payments that this provider rejected by its own answer; recorded rejections are checked against them."""

import os
from collections.abc import Iterator
from pathlib import Path

from tollgate.simulator.order import correlation_id_of, key_from


class Refusals:
    """At most `max_payments` keys, each once; with `path`, they survive a restart."""

    def __init__(self, max_payments: int, path: Path | None) -> None:
        self._max_payments = max_payments
        self._keys: dict[bytes, None] = {}
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._keys.update((key_from(line), None) for line in path.read_text().splitlines())

    def __iter__(self) -> Iterator[str]:
        return map(correlation_id_of, tuple(self._keys))

    def add(self, key: bytes) -> bool:
        """Records a rejection before it is answered. False when the limit is reached; it must not be rejected then."""
        if key not in self._keys:
            if len(self._keys) >= self._max_payments:
                return False
            if self._file is not None:
                os.write(self._file, f"{correlation_id_of(key)}\n".encode())
            self._keys[key] = None
        return True

    def clear(self) -> None:
        """Deletes all keys."""
        self._keys.clear()
        if self._file is not None:
            os.ftruncate(self._file, 0)
