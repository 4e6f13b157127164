"""One connection to NATS, its requests, and the state of the log."""

import asyncio
import logging
import ssl
from types import TracebackType
from typing import Any, Self

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from tollgate.contract.log_mark import LogState
from tollgate.contract.timestamps import parse_us
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.messaging.jetstream_api import stream_api
from tollgate.messaging.jetstream_errors import is_not_ready
from tollgate.messaging.stream_leader import doubt_about, replicas_in
from tollgate.runtime.address import parse_address
from tollgate.runtime.errors import BrokerUnavailableError, FatalError
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

RECONNECT_WAIT_SECONDS = 0.1
REQUEST_TIMEOUT_SECONDS = 1.0
"""How long one request waits for its answer before it is sent anew."""
RETRY_PAUSE_SECONDS = 0.05
CUT_OFF_SECONDS = 12.0
"""A broker that has not known the log's end for so long is cut off from the others: an election takes less."""

_REFUSED = "authorization"
"""Part of nats-server's error for a wrong password, and of nats-py's."""

TRANSIENT_ERRORS = (
    nats.errors.TimeoutError,
    nats.errors.NoRespondersError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.StaleConnectionError,
    nats.errors.UnexpectedEOF,
    ConnectionError,
    TimeoutError,
)


class _Client(Client):
    """Refuses a server without TLS for `tls://`: nats-py treats that as optional, and would send its password."""

    def _connect_command(self) -> bytes:
        server = self._current_server
        if server is not None and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise nats.errors.Error("the broker offers no TLS, and NATS_URL asks for it")
        command: bytes = super()._connect_command()
        return command


class Broker:
    """A connection that reconnects by itself.

    `ca_file` is the certificate of the authority of a broker with TLS, if it is none of the system's.

    `generation` counts the connections made. Code that depends on server-side state of one connection compares it, or
    waits with `lost` until that connection is gone.
    """

    def __init__(self, url: str, *, name: str, ca_file: str = "") -> None:
        self._address = parse_address(url)
        self._tls = _trusting(ca_file) if ca_file else None
        self._name = name
        self._up = asyncio.Event()
        self._changed = asyncio.Event()
        self._said_waiting = False
        self.shown_url = self._address.shown
        """Without credentials."""
        self.clock = BrokerClock()
        """Updated from the broker's answers."""
        self.generation = 0
        self.log_replicas: int | None = None
        """How many brokers keep the log, by the last answer about it; None before the first."""
        self._certain_at = 0.0
        """When (loop time) the log's end was known last, or the connection made."""
        self.refused = asyncio.Event()
        """Set when the broker refuses this user, or its certificate is not trusted: another try will not help."""
        self.closed = asyncio.Event()
        """Set when the connection is closed and will not come back."""
        self.client = _Client()

    @property
    def is_connected(self) -> bool:
        return self._up.is_set()

    async def __aenter__(self) -> Self:
        """Connects, waiting for the broker as long as it takes; cancel it to give up."""
        await self.client.connect(
            list(self._address.servers),
            # Not in the URLs: nats-py would lack them for servers that other servers announce.
            user=self._address.user,
            password=self._address.password,
            token=self._address.token,
            tls=self._tls,
            name=self._name,
            inbox_prefix=self._address.inbox_prefix(self._name),
            connect_timeout=2,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_SECONDS,  # type: ignore[arg-type]
            ping_interval=2,
            max_outstanding_pings=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=self._on_closed,
        )
        await self._on_connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._up.clear()
        try:
            await asyncio.wait_for(self.client.close(), timeout=2)
        except (TimeoutError, nats.errors.Error, OSError):
            logger.warning("the connection to the broker did not close in time")

    def why_not_connected(self) -> str:
        """Why there is no connection, in one line without secrets."""
        where = f"the broker at {self.shown_url}"
        why = self.client.last_error
        if _REFUSED not in str(why).lower():
            return f"{where} cannot be reached: {why or 'no answer'} (NATS_URL, or the stack on DATA_DIR, names it)"
        if self._address.user is not None:
            return f"{where} refuses the user {self._address.user} with this password"
        if self._address.token is not None:
            return f"{where} refuses this token"
        return f"{where} asks for a user and a password, and NATS_URL has none"

    async def connected(self) -> int:
        """Waits until there is a connection. Returns its generation."""
        await self._up.wait()
        return self.generation

    async def lost(self, generation: int) -> None:
        """Waits until the connection of that generation is gone."""
        while self.is_connected and self.generation == generation:
            self._changed.clear()
            await self._changed.wait()

    async def until_closed(self) -> None:
        """Never returns. Raises FatalError when the connection is closed for good."""
        await self.closed.wait()
        raise FatalError("the broker closed the connection for good")

    async def ask(
        self, subject: str, payload: bytes, *, timeout_seconds: float, headers: dict[str, str] | None = None
    ) -> Msg:
        """Sends a request once. Raises one of TRANSIENT_ERRORS when it is not answered."""
        reply: Msg = await self.client.request(subject, payload, timeout=timeout_seconds, headers=headers)
        # nats-py uses `asyncio.wait_for`, which in Python 3.11 loses a cancellation that arrives with the reply.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return reply

    async def request(self, subject: str, payload: bytes, *, timeout_seconds: float) -> dict[str, Any]:
        """A JSON request to the broker's API, sent again until it is answered.

        Raises BrokerUnavailableError when no answer came within `timeout_seconds`.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self.connected()
                    reply = await self.ask(subject, payload, timeout_seconds=REQUEST_TIMEOUT_SECONDS)
                    answer: dict[str, Any] = orjson.loads(reply.data)
                    if not is_not_ready(answer):
                        return answer
            except TRANSIENT_ERRORS as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise BrokerUnavailableError(f"the broker did not answer on {subject}") from error
            await asyncio.sleep(RETRY_PAUSE_SECONDS)

    async def log_state(self, *, timeout_seconds: float) -> LogState:
        """The log's present ends. Raises BrokerUnavailableError.

        A leader of a replicated log that a majority may no longer follow is asked again: it may lack what is stored.
        """
        try:
            asked_at_us, info = await self._certain_info(timeout_seconds)
        except BrokerUnavailableError:
            await self._leave_if_cut_off()
            raise
        self._certain_at = self._now()
        if "error" in info:
            raise BrokerUnavailableError(f"there is no log: {info['error'].get('description')}")
        # The leader of the stream answers: the server whose clock stamps the stored messages.
        self.clock.observe(asked_at_us, parse_us(info["ts"]))
        state = info["state"]
        self.log_replicas = replicas_in(info)
        return LogState(
            first_sequence=state["first_seq"],
            last_sequence=state["last_seq"],
            identity=info["created"],
            last_stored_at_us=parse_us(state["last_ts"]),
            messages=state["messages"],
            stored_bytes=state["bytes"],
            bytes_max=info["config"].get("max_bytes", -1),
            replicas=self.log_replicas,
        )

    async def _certain_info(self, timeout_seconds: float) -> tuple[int, dict[str, Any]]:
        """The answer to `STREAM.INFO`, and when it was asked. Raises BrokerUnavailableError."""
        deadline = self._now() + timeout_seconds
        while True:
            asked_at_us = self.clock.monotonic_us()
            left_seconds = max(deadline - self._now(), 0)
            info = await self.request(stream_api("INFO"), b"", timeout_seconds=left_seconds)
            if "error" in info or (doubt := doubt_about(info)) is None:
                return asked_at_us, info
            if self._now() + RETRY_PAUSE_SECONDS >= deadline:
                raise BrokerUnavailableError(f"the log's end is not certain: {doubt}")
            await asyncio.sleep(RETRY_PAUSE_SECONDS)

    async def _leave_if_cut_off(self) -> None:
        """Connects to another broker of a cluster when this one has not known the log's end for long."""
        is_cut_off = self.is_connected and self._now() - self._certain_at > CUT_OFF_SECONDS
        if is_cut_off and len(self._address.servers) > 1:
            logger.warning("the broker has not known the log's end for %.0f s; connecting to another", CUT_OFF_SECONDS)
            self._certain_at = self._now()
            await self.client.force_reconnect()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _on_connected(self) -> None:
        self.generation += 1
        self._certain_at = self._now()
        self._up.set()
        self._changed.set()
        self._said_waiting = False
        logger.info("connected to the broker at %s", self.shown_url, extra=about(event="broker_connected"))

    async def _on_disconnected(self) -> None:
        if self._up.is_set():
            logger.warning("lost the connection to the broker", extra=about(event="broker_lost"))
        self._up.clear()
        self._changed.set()

    async def _on_closed(self) -> None:
        # nats-py closes for good on some errors of the server, such as too many connections.
        self._up.clear()
        self._changed.set()
        self.closed.set()

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, ssl.SSLCertVerificationError) or _REFUSED in str(error).lower():
            self.refused.set()
        if not self.is_connected and not self._said_waiting:
            self._said_waiting = True
            logger.warning("waiting for the broker at %s: %s", self.shown_url, error or type(error).__name__)
        elif not isinstance(error, (OSError, nats.errors.StaleConnectionError)):
            # A broken connection is logged once, in _on_disconnected.
            logger.error("broker: %s", error or type(error).__name__)


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise FatalError(f"NATS_CA_FILE {ca_file} cannot be used: {error}") from None
