import pytest

from tollgate.runtime.address import Address, parse_address
from tollgate.runtime.errors import FatalError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("nats://127.0.0.1:4222", Address(("nats://127.0.0.1:4222",))),
        ("broker", Address(("nats://broker:4222",))),
        ("broker:5222", Address(("nats://broker:5222",))),
        ("nats://broker/", Address(("nats://broker:4222",))),
        ("tls://[::1]:5222", Address(("tls://[::1]:5222",))),
        ("nats://gateway:secret@broker:4222", Address(("nats://broker:4222",), "gateway", "secret")),
        ("gateway:secret@broker", Address(("nats://broker:4222",), "gateway", "secret")),
        ("nats://gateway:a%2Fb%2Cc%40d%25@broker", Address(("nats://broker:4222",), "gateway", "a/b,c@d%")),
        ("nats://word@broker", Address(("nats://broker:4222",), token="word")),
        ("nats://g:s@a:1,nats://b,g:s@c:3", Address(("nats://a:1", "nats://b:4222", "nats://c:3"), "g", "s")),
    ],
)
def test_an_address_is_read_from_its_url(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nats://",
        "nats://gateway:secret@",
        "nats://broker:http",
        "nats://broker:99999",
        "nats://gateway:12/secret@broker:4222",
        "nats://gateway:12?secret@broker",
        "nats://gateway:12#secret@broker",
        "nats://gateway:12,secret@broker:4222",
        "nats://gateway:secret,secret@broker:4222",
        "nats://[secret@broker",
    ],
)
def test_an_invalid_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(FatalError) as refused:
        parse_address(url)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_neither_what_is_shown_nor_what_is_printed_has_the_password() -> None:
    address = parse_address("nats://gateway:secret@a:1,b")
    assert address.shown == "a:1, b:4222"
    assert "secret" not in repr(address)
    assert "secret" not in repr(parse_address("nats://secret@a"))


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("nats://gateway:secret@broker", "_INBOX_gateway"),
        ("nats://an.odd-user%3E:secret@broker", "_INBOX_an_odd_user_"),
        ("nats://broker", "_INBOX_gateway_1"),
        ("nats://token@broker", "_INBOX_gateway_1"),
    ],
)
def test_inboxes_are_the_users_and_without_a_user_the_connections(url: str, prefix: str) -> None:
    assert parse_address(url).inbox_prefix("gateway-1") == prefix
