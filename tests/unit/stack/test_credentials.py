from pathlib import Path

import pytest

from tollgate.stack.credentials import USERS, Credentials, ensure_credentials, operator_url
from tollgate.stack.errors import NotRunningError
from tollgate.stack.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = read_settings({"DATA_DIR": str(tmp_path)})
    settings.run.mkdir()
    return settings


def file_of(settings: Settings) -> Path:
    return settings.run / "credentials"


def test_every_user_gets_an_unguessable_password(settings: Settings) -> None:
    passwords = ensure_credentials(settings).passwords
    assert passwords.keys() == set(USERS)
    assert len(set(passwords.values())) == len(USERS)
    assert all(len(password) > 40 for password in passwords.values())
    assert all(password[0].isalpha() and password.replace("-", "_").isidentifier() for password in passwords.values())


def test_passwords_are_created_once_and_readable_only_by_their_owner(settings: Settings) -> None:
    made = ensure_credentials(settings)
    assert file_of(settings).stat().st_mode & 0o777 == 0o600
    assert ensure_credentials(settings) == made
    assert [path.name for path in settings.run.iterdir()] == ["credentials"]


def test_another_data_dir_has_others(settings: Settings, tmp_path: Path) -> None:
    other = read_settings({"DATA_DIR": str(tmp_path / "other")})
    other.run.mkdir(parents=True)
    assert not set(ensure_credentials(other).passwords.values()) & set(ensure_credentials(settings).passwords.values())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_passwords_that_others_could_read_are_replaced(settings: Settings, mode: int) -> None:
    made = ensure_credentials(settings)
    file_of(settings).chmod(mode)
    assert ensure_credentials(settings) != made
    assert file_of(settings).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\n".join(text.splitlines()[1:]),
        lambda text: text.replace("=p", "=1"),
        lambda text: text.replace("=p", "=p "),
        lambda text: text.replace("PASSWORD=", "PASSWORD=\n"),
    ],
)
def test_a_damaged_file_is_replaced(settings: Settings, damage: object) -> None:
    ensure_credentials(settings)
    assert callable(damage)
    file_of(settings).write_text(damage(file_of(settings).read_text()))
    assert ensure_credentials(settings).passwords.keys() == set(USERS)
    assert ensure_credentials(settings) == ensure_credentials(settings)


def test_what_a_killed_start_left_behind_does_not_matter(settings: Settings) -> None:
    (settings.run / "credentials.new").write_text("NATS_GATEWAY_PASSWORD=p")
    assert ensure_credentials(settings) == ensure_credentials(settings)


def test_the_passwords_are_not_printed_by_accident() -> None:
    assert "secret" not in repr(Credentials({"gateway": "secret"}))


def test_the_operator_gets_a_url(settings: Settings) -> None:
    password = ensure_credentials(settings).passwords["operator"]
    assert operator_url(settings) == f"nats://operator:{password}@127.0.0.1:4222"


def test_before_the_first_run_there_is_nothing_to_tell(settings: Settings) -> None:
    with pytest.raises(NotRunningError, match=str(settings.data)):
        operator_url(settings)


def test_a_broker_elsewhere_keeps_its_own_passwords() -> None:
    url = "nats://me:secret@broker:4222"
    assert operator_url(read_settings({"NATS_URL": url})) == url
