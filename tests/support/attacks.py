"""Requests that a proxy and a server may parse differently. Each hides a payment that must not be accepted."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.raw_http import JSON, chunk, head, payment, post


@dataclass(frozen=True, slots=True)
class Attack:
    """The bytes to send, one write per part; if `is_cut_off`, the sending side is closed afterwards."""

    parts: tuple[bytes, ...]
    is_cut_off: bool = False


def hidden_request(correlation_id: str) -> bytes:
    """A whole POST of a payment, to be hidden in a body."""
    return b"".join(post(payment(correlation_id)))


def _upgrade(protocol: str, **more: str) -> Callable[[bytes], Attack]:
    def build(hidden: bytes) -> Attack:
        header, body = post(hidden, {"Connection": "Upgrade", "Upgrade": protocol, **more})
        return Attack((header, body))

    return build


def _with(line: str, **headers: str) -> Callable[[bytes], Attack]:
    """The hidden request as the body of another one; underscores in the names are hyphens."""

    def build(hidden: bytes) -> Attack:
        length = {"Content-Length": str(len(hidden))}
        return Attack((head(line, {**JSON, **length, **{k.replace("_", "-"): v for k, v in headers.items()}}), hidden))

    return build


def _pairs(*pairs: tuple[str, str]) -> Callable[[bytes], Attack]:
    """A POST with these headers instead of Content-Length, and the hidden request unchanged; {} is its length."""

    def build(hidden: bytes) -> Attack:
        named = [(name, value.format(len(hidden))) for name, value in pairs]
        return Attack((head("POST /payments", [*JSON.items(), *named]), hidden))

    return build


def _chunked(hidden: bytes, *, extension: bytes = b"", end: bytes = chunk(b""), **headers: str) -> Attack:
    size, _, rest = chunk(hidden).partition(b"\r\n")
    pairs = {name.replace("_", "-"): value for name, value in headers.items()}
    header = head("POST /payments", {**JSON, "Transfer-Encoding": "chunked", **pairs})
    return Attack((header, size + extension + b"\r\n" + rest + end))


def _folded(hidden: bytes) -> Attack:
    header = head("POST /payments", {**JSON, "Content-Length": str(len(hidden)), "Transfer-Encoding": "\r\n chunked"})
    return Attack((header, hidden))


def _bare_line_feeds(hidden: bytes) -> Attack:
    header, body = post(hidden)
    return Attack((header.replace(b"\r\n", b"\n"), body))


def _bare_carriage_return(hidden: bytes) -> Attack:
    header, body = post(hidden, {"X": "a\rTransfer-Encoding: chunked"})
    return Attack((header, body))


def _cut_off(hidden: bytes) -> Attack:
    header = head("POST /payments", {**JSON, "Content-Length": str(len(hidden) + 50)})
    return Attack((header, hidden), is_cut_off=True)


def _too_long(hidden: bytes) -> Attack:
    return Attack((head("POST /payments", {**JSON, "Content-Length": "70000"}), hidden.ljust(70_000)))


def _too_long_in_chunks(hidden: bytes) -> Attack:
    header = head("POST /payments", {**JSON, "Transfer-Encoding": "chunked"})
    return Attack((header, chunk(b" " * 65_537), chunk(hidden), chunk(b"")))


ATTACKS: dict[str, Callable[[bytes], Attack]] = {
    "upgrade, expect": _upgrade("foo", Expect="100-continue"),
    "upgrade": _upgrade("foo"),
    "h2c": _upgrade("h2c", **{"HTTP2-Settings": "AAMAAABkAAQAAP__"}, Connection="Upgrade, HTTP2-Settings"),
    "websocket": _upgrade(
        "websocket", **{"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13"}
    ),
    "upgrade, other case": _upgrade("FOO", Connection="keep-alive, uPGRADE"),
    "expect": _with("POST /payments", Expect="100-continue"),
    "unknown expectation": _with("POST /payments", Expect="200-ok"),
    "GET with a body": _with("GET /livez"),
    "HEAD with a body": _with("HEAD /livez", Connection="Upgrade", Upgrade="foo"),
    "PUT": _with("PUT /payments/4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"),
    "CONNECT": _with("CONNECT pay.test:443"),
    "absolute form": _with("POST http://other.test/payments", Connection="Upgrade", Upgrade="foo"),
    "Content-Length named as hop-by-hop": _with("POST /payments", Connection="close, Content-Length"),
    "underscored": lambda hidden: Attack(post(hidden, {"Transfer_Encoding": "chunked", "Content_Length": "0"})),
    "two lengths": _pairs(("Content-Length", "{}"), ("Content-Length", "0")),
    "two lengths in one": _pairs(("Content-Length", "{}, 0")),
    "one length twice": _pairs(("Content-Length", "{}"), ("Content-Length", "{}")),
    "length with a sign": _pairs(("Content-Length", "+{}")),
    "length with zeros": _pairs(("Content-Length", "000{}")),
    "encoding and length": _pairs(("Content-Length", "{}"), ("Transfer-Encoding", "chunked")),
    "unknown encoding": _pairs(("Content-Length", "{}"), ("Transfer-Encoding", "xchunked")),
    "two encodings": _pairs(("Content-Length", "{}"), ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "x")),
    "list of encodings": _pairs(("Content-Length", "{}"), ("Transfer-Encoding", "identity, chunked")),
    "space before the colon": _pairs(("Content-Length", "{}"), ("Transfer-Encoding ", "chunked")),
    "encoding with a tab": _pairs(("Content-Length", "{}"), ("Transfer-Encoding", "\x0bchunked")),
    "folded": _folded,
    "bare line feeds": _bare_line_feeds,
    "bare carriage return": _bare_carriage_return,
    "chunked": _chunked,
    "chunked, upgrade": lambda hidden: _chunked(hidden, Connection="Upgrade", Upgrade="foo"),
    "chunked, with a length": lambda hidden: _chunked(hidden, Content_Length="4"),
    "chunk extension": lambda hidden: _chunked(hidden, extension=b';a="b";c'),
    "trailer": lambda hidden: _chunked(hidden, end=b"0\r\nContent-Length: 0\r\nUpgrade: foo\r\n\r\n"),
    "chunked, cut off": lambda hidden: Attack(_chunked(hidden, end=b"").parts, is_cut_off=True),
    "cut off": _cut_off,
    "too long": _too_long,
    "too long in chunks": _too_long_in_chunks,
}


def drawn(rng: random.Random, hidden: bytes, name: str) -> Attack:
    """The attack with its writes split again at random places."""
    attack = ATTACKS[name](hidden)
    parts: list[bytes] = []
    for part in attack.parts:
        cut = rng.randrange(len(part) + 1)
        parts += [one for one in (part[:cut], part[cut:]) if one] if rng.random() < 0.5 else [part]
    return Attack(tuple(parts), attack.is_cut_off)
