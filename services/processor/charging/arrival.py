"""When an answer arrived at this machine. A busy replica, or one that its CPU limit has stopped, reads it later."""

import socket
import struct

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_BYTES = 56
_LAST_RECEIVED_MS = struct.Struct("=52xI")
"""The field `tcpi_last_data_recv` of Linux's `struct tcp_info`."""


def seconds_since_arrival(connection: socket.socket) -> float:
    """How long ago the connection's last bytes arrived, to within a tick of the kernel's clock (1 to 10 ms).

    0 where the system does not tell: then an answer counts as arrived when it was read.
    """
    if _TCP_INFO is None:
        return 0.0
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES)
    except OSError:
        return 0.0
    if len(info) < _BYTES:
        return 0.0
    (milliseconds,) = _LAST_RECEIVED_MS.unpack(info)
    return float(milliseconds) / 1000
