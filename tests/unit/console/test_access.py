import pytest

from tollgate.console.access import Access
from tollgate.console.settings import Settings, check
from tollgate.runtime.errors import SettingError
from tollgate.runtime.settings import load

TOKEN = "a-token-of-sixteen-characters"  # noqa: S105 - of this test only


@pytest.mark.parametrize("host", ["127.0.0.1:9998", "localhost:9998", "[::1]:9998", "localhost"])
def test_without_a_token_a_loopback_name_may_read(host: str) -> None:
    assert Access().allows(host, None, None)


@pytest.mark.parametrize("host", ["rebound.example:9998", "127.0.0.1.example", "", "10.0.0.1:9998"])
def test_without_a_token_no_other_name_may_read(host: str) -> None:
    assert not Access().allows(host, None, None)


def test_with_a_token_its_holder_may_read_under_any_name() -> None:
    access = Access(TOKEN)
    assert access.allows("console.example", TOKEN, None)
    assert access.allows("console.example", None, f"Bearer {TOKEN}")


@pytest.mark.parametrize("given", [None, "", "another", f"{TOKEN}x", "\u00e4"])
def test_with_a_token_nobody_else_may_read_not_even_on_loopback(given: str | None) -> None:
    assert not Access(TOKEN).allows("127.0.0.1:9998", given, given)


def test_on_an_address_for_others_a_token_is_required() -> None:
    with pytest.raises(SettingError, match="CONSOLE_TOKEN"):
        check(load(Settings, {"CONSOLE_HOST": "0.0.0.0"}))  # noqa: S104 - it is refused
    check(load(Settings, {"CONSOLE_HOST": "0.0.0.0", "CONSOLE_TOKEN": TOKEN}))  # noqa: S104
    check(load(Settings, {}))
