# mypy: allow-untyped-calls

import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from tollgate.stack.credentials import USERS, Credentials
from tollgate.stack.errors import NotRunningError
from tollgate.stack.programs import choose_programs
from tollgate.stack.settings import Settings, read_settings
from tollgate.stack.supervision import ask_states, control_socket, render_supervisor_config

CREDENTIALS = Credentials({user: f"password-of-{user}" for user in USERS})


def parse(settings: Settings, tmp_path: Path) -> ServerOptions:
    """What the supervisor itself understands."""
    groups = choose_programs(settings, CREDENTIALS)
    for directory in (settings.run, settings.logs):
        directory.mkdir(parents=True)
    config = tmp_path / "supervisord.conf"
    config.write_text(render_supervisor_config(settings, groups))
    options = ServerOptions()
    options.realize(["-c", str(config)])
    return options


@pytest.mark.parametrize("directory", ["data", "with a space, a comma, and an = sign"])
def test_the_supervisor_understands_what_is_rendered(tmp_path: Path, directory: str) -> None:
    settings = read_settings({"DATA_DIR": str(tmp_path / directory)})
    groups = {group.name: group for group in choose_programs(settings, CREDENTIALS)}
    understood = parse(settings, tmp_path).process_group_configs
    assert {one.name for one in understood} == groups.keys()
    for one in understood:
        programs = {program.name: program for program in groups[one.name].programs}
        for process in one.process_configs:
            program = programs[process.name]
            assert tuple(shlex.split(process.command)) == program.command
            assert dict(process.environment) == program.environment
            assert process.stdout_logfile == str(settings.logs / f"{process.name}.log")
            assert process.stopwaitsecs == groups[one.name].stop_seconds_max


def test_later_groups_stop_first(tmp_path: Path) -> None:
    settings = read_settings({"DATA_DIR": str(tmp_path / "data")})
    understood = sorted(parse(settings, tmp_path).process_group_configs, key=lambda one: one.priority)
    assert [one.name for one in understood] == ["base", "workers", "gateways", "edge"]


def test_the_control_socket_is_beside_the_data_unless_its_path_is_too_long() -> None:
    assert control_socket(read_settings({"DATA_DIR": "/data"})) == Path("/data/run/supervisor.sock")
    long, other = (control_socket(read_settings({"DATA_DIR": "/" + letter * 100})) for letter in "ab")
    assert len(bytes(long)) < 100
    assert long != other


def test_a_query_without_a_running_supervisor_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match=str(tmp_path)):
        ask_states(read_settings({"DATA_DIR": str(tmp_path)}))
