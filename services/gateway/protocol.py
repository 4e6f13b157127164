"""The gateway's HTTP/1.1 protocol: requests one after the other, no upgrade, and payments without the framework.

A `POST /payments` of the usual form is answered here. Through uvicorn's request cycle and the framework's request and
response it would take a sixth more CPU time (docs/decisions/0056). Everything else is theirs.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tollgate.gateway.answer import answer_of, in_http_1_1
from tollgate.gateway.payment_endpoint import PaymentEndpoint
from tollgate.gateway.problems import malformed
from tollgate.gateway.requests import is_too_long
from tollgate.runtime.errors import TollgateError


class UpgradeRefusedError(TollgateError):
    """The request asks to upgrade the connection to another protocol."""


class PaymentCycle:
    """A `POST /payments` under way. uvicorn reads and sets the two flags as it does those of its own cycles."""

    def __init__(self, content_type: bytes | None, content_encoding: bytes | None) -> None:
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.body = bytearray()
        self.response_complete = False
        self.keep_alive = True
        """False once the server stops."""


class Protocol(HttpToolsProtocol):
    """Answers requests with `Connection: Upgrade` with 400, and closes.

    httptools does not read the body of such a request. It takes what follows the header for bytes of the other protocol
    and, fed again, for the next request, so a request hidden in a body would be served. The edge removes Upgrade.
    """

    def __init__(self, payments: PaymentEndpoint, **given: Any) -> None:
        super().__init__(**given)
        self._payments = payments
        self._reading: PaymentCycle | None = None
        """The payment whose body is being read."""

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            # httptools turns it into a parser error, which uvicorn answers with 400.
            raise UpgradeRefusedError
        self._reading = self._usual_payment()
        if self._reading is None:
            super().on_headers_complete()
        else:
            self.cycle = self._reading  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        if self._reading is None:
            super().on_body(body)
        else:
            self._reading.body += body

    def on_message_complete(self) -> None:
        if self._reading is None:
            super().on_message_complete()
            return
        task = self.loop.create_task(self._answer(self._reading))
        # The server waits for these when it stops.
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self._reading = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reading is not None:
            self._payments.refuse(malformed("the connection ended before the body was whole"))
        if isinstance(self.cycle, PaymentCycle):
            self.cycle = None  # type: ignore[assignment]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Bytes that arrive after the answer that ended the connection are not a request.
        if not self.transport.is_closing():
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answers and closes; only closes while an earlier request is open, whose client would get it."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(in_http_1_1(answer_of(malformed(msg)), keep_alive=False))
        self.transport.close()

    def _usual_payment(self) -> PaymentCycle | None:
        """The payment whose header was read; None if it is anything that uvicorn has to look after.

        That is a request behind one that is not answered, or of HTTP/1.0, one that ends the connection or waits for
        `100 Continue`, and one whose length is unknown or over the limit.
        """
        is_open = self.cycle is not None and not self.cycle.response_complete
        if self.url != b"/payments" or self.parser.get_method() != b"POST" or is_open:
            return None
        if self.expect_100_continue or self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return None
        # The first of several counts, as in the framework.
        headers = dict(reversed(self.headers))
        length = headers.get(b"content-length", b"")
        # httptools has checked that it is a number.
        if not length or is_too_long(length):
            return None
        return PaymentCycle(headers.get(b"content-type"), headers.get(b"content-encoding"))

    async def _answer(self, payment: PaymentCycle) -> None:
        answer = await self._payments.answer(payment.content_type, payment.content_encoding, bytes(payment.body))
        if self.flow.write_paused:
            await self.flow.drain()
        payment.response_complete = True
        if isinstance(self.cycle, PaymentCycle):
            # Otherwise it is the cycle of a request that waits behind this one.
            self.cycle = None  # type: ignore[assignment]
        if self.transport.is_closing():
            return
        date = self.server_state.default_headers
        self.transport.write(in_http_1_1(answer, *date, keep_alive=payment.keep_alive))
        if not payment.keep_alive:
            self.transport.close()
        self.on_response_complete()
