"""HTTP/1.1 as the gateway speaks it: one request after the other, and never anything else on a connection."""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tollgate.gateway.problems import Problem
from tollgate.runtime.errors import TollgateError


class UpgradeRefusedError(TollgateError):
    """The request offers to go on in another protocol."""


class Protocol(HttpToolsProtocol):
    """Refuses requests with `Connection: Upgrade` with 400, and closes.

    httptools does not read the body of such a request. It takes what follows the header for bytes of the other protocol
    and, fed again, for the next request: so a request hidden in a body would be served. The proxy passes no Upgrade on.
    """

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            # httptools makes a parser's error of it, which uvicorn answers with 400.
            raise UpgradeRefusedError
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        # What arrives after the answer that ended the connection is nobody's request.
        if not self.transport.is_closing():
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answers and closes; only closes while an earlier request is open, whose answer this would be taken for."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(msg))
        self.transport.close()


def _answer(detail: str) -> bytes:
    body = Problem(HTTPStatus.BAD_REQUEST, detail).body()
    head = (
        b"HTTP/1.1 400 Bad Request",
        b"content-type: application/problem+json",
        b"content-length: %d" % len(body),
        b"connection: close",
    )
    return b"\r\n".join((*head, b"", body))
