"""The gateway's HTTP/1.1 protocol: requests one after the other, and no upgrade to another protocol."""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tollgate.gateway.problems import Problem
from tollgate.runtime.errors import TollgateError


class UpgradeRefusedError(TollgateError):
    """The request asks to upgrade the connection to another protocol."""


class Protocol(HttpToolsProtocol):
    """Answers requests with `Connection: Upgrade` with 400, and closes.

    httptools does not read the body of such a request. It takes what follows the header for bytes of the other protocol
    and, fed again, for the next request, so a request hidden in a body would be served. The edge removes Upgrade.
    """

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            # httptools turns it into a parser error, which uvicorn answers with 400.
            raise UpgradeRefusedError
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        # Bytes that arrive after the answer that ended the connection are not a request.
        if not self.transport.is_closing():
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answers and closes; only closes while an earlier request is open, whose client would get it."""
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
