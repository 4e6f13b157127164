"""What is configured of each provider, and what is refused in one line without showing a secret."""

from pathlib import Path

import pytest

from tollgate.processor.charging.provider_contract import CONTEST, STRICT
from tollgate.processor.settings import Settings
from tollgate.runtime.errors import SettingError
from tollgate.runtime.settings import load

SECRET = "s3cr3t-t0k3n"  # noqa: S105 - of nobody


def test_by_default_both_providers_have_the_benchmarks_contract_and_no_header() -> None:
    providers = load(Settings, {}).providers()
    assert {provider.contract for provider in providers.values()} == {CONTEST}
    assert [provider.headers for provider in providers.values()] == [{}, {}]


def test_each_provider_has_its_own_contract_and_credential(tmp_path: Path) -> None:
    file = tmp_path / "header"
    file.write_text(f"X-Api-Key: {SECRET}\n")
    settings = load(
        Settings,
        {
            "PAYMENT_PROCESSOR_CONTRACT_FALLBACK": "strict",
            "PAYMENT_PROCESSOR_HEADER_DEFAULT": f"Authorization:  Bearer {SECRET}",
            "PAYMENT_PROCESSOR_HEADER_FILE_FALLBACK": str(file),
        },
    )
    providers = settings.providers()
    assert providers["default"].contract is CONTEST
    assert providers["default"].headers == {"Authorization": f"Bearer {SECRET}"}
    assert providers["fallback"].contract is STRICT
    assert providers["fallback"].headers == {"X-Api-Key": SECRET}
    assert SECRET not in f"{settings!r} {providers!r}"


@pytest.mark.parametrize(
    "header",
    [
        SECRET,
        f": {SECRET}",
        f"Authorization {SECRET}",
        "Authorization:",
        "Authorization: ",
        f"Authorization: {SECRET}\r\nHost: elsewhere",
        f"Authorization: {SECRET}é",
        f"Two words: {SECRET}",
        f"Content-Length: {SECRET}",
        f"transfer-encoding: {SECRET}",
        f"Authorization: {SECRET * 1_000}",
    ],
)
def test_a_header_that_cannot_be_sent_is_one_line_without_its_value(header: str, tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"^PAYMENT_PROCESSOR_HEADER_DEFAULT is \*\*\*: it must be one header"
    ) as raised:
        load(Settings, {"PAYMENT_PROCESSOR_HEADER_DEFAULT": header})
    assert SECRET not in str(raised.value)
    file = tmp_path / "header"
    file.write_text(header)
    with pytest.raises(
        SettingError, match=r"PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT is .*it must be a file that"
    ) as raised:
        load(Settings, {"PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT": str(file)})
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("content", ["", "\n", f"X-Api-Key: {SECRET}\nX-Other: 1\n"])
def test_a_file_holds_exactly_one_header(content: str, tmp_path: Path) -> None:
    file = tmp_path / "header"
    file.write_text(content)
    with pytest.raises(SettingError, match="it must be a file that holds one header"):
        load(Settings, {"PAYMENT_PROCESSOR_HEADER_FILE_FALLBACK": str(file)})


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SettingError, match=r"PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT is"):
            load(Settings, {"PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT": str(path)})


def test_a_header_and_a_file_of_one_provider_exclude_each_other(tmp_path: Path) -> None:
    file = tmp_path / "header"
    file.write_text("X-Api-Key: 1")
    both = {
        "PAYMENT_PROCESSOR_HEADER_DEFAULT": "X-Api-Key: 1",
        "PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT": str(file),
    }
    with pytest.raises(SettingError, match=r"PAYMENT_PROCESSOR_HEADER_DEFAULT and .*exclude each other"):
        load(Settings, both).providers()


@pytest.mark.parametrize("name", ["Contest", "lax", "none"])
def test_an_unknown_contract_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=r"PAYMENT_PROCESSOR_CONTRACT_DEFAULT is .*it must be contest or strict"):
        load(Settings, {"PAYMENT_PROCESSOR_CONTRACT_DEFAULT": name})
