"""The supervisor's configuration, and requests to a running supervisor."""

# mypy: allow-untyped-calls
import hashlib
import http.client
import os
import shlex
import tempfile
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from tollgate.runtime.errors import SettingError
from tollgate.stack.errors import NotRunningError
from tollgate.stack.programs import SOCKET_PATH_BYTES_MAX, Group, Program
from tollgate.stack.settings import Settings

LOG_BYTES_MAX = 10_000_000
LOG_FILES_KEPT = 3
"""Besides the one being written: a program's logs take 40 MB at most."""

START_SECONDS = 1
"""The supervisor counts a program that dies sooner as not started, and starts it again after a pause."""
START_RETRIES = 20
"""The pauses are 1 s, 2 s, 3 s … so this is 210 s of never living for START_SECONDS. Then the supervisor gives up, and
`tollgate.stack.supervisord` logs it and starts again within a minute. Any start that lasts sets the count back to 0."""

_PID_SUFFIX_BYTES = 8
"""The supervisor first binds its socket under a name with its process id appended."""


@dataclass(frozen=True, slots=True)
class State:
    """The supervisor's state of one program. `name` is without its group; `pid` is 0 when there is no process."""

    name: str
    state: str
    pid: int
    description: str


def control_socket(settings: Settings) -> Path:
    """The path of the supervisor's socket: in the run directory, or a shorter path where that is too long.

    Raises SettingError when neither fits a unix socket.
    """
    beside = settings.run / "supervisor.sock"
    digest = hashlib.sha256(bytes(settings.data)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"tollgate-{os.getuid()}-{digest}" / "supervisor.sock"
    for path in (beside, short):
        if len(bytes(path)) + _PID_SUFFIX_BYTES <= SOCKET_PATH_BYTES_MAX:
            return path
    raise SettingError(f"DATA_DIR and TMPDIR are both too long for a unix socket ({SOCKET_PATH_BYTES_MAX} bytes)")


def render_supervisor_config(settings: Settings, groups: list[Group]) -> str:
    """The configuration of supervisord. It holds the secrets of each program, so that no program inherits those of all.

    Paths need no escapes: the settings refuse those that would. Neither do passwords, because of their alphabet.
    """
    socket = str(control_socket(settings))
    sections = [
        _section(
            "supervisord",
            {
                "nodaemon": "true",
                "umask": "077",
                # The launcher prints what the operator needs; the rest is in the file.
                "silent": "true",
                "logfile": str(settings.logs / "supervisord.log"),
                "logfile_maxbytes": LOG_BYTES_MAX,
                "logfile_backups": LOG_FILES_KEPT,
                "pidfile": str(settings.run / "supervisord.pid"),
                "identifier": "tollgate",
            },
        ),
        _section("unix_http_server", {"file": socket, "chmod": "0700"}),
        _section("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": _RPC_FACTORY}),
        _section("supervisorctl", {"serverurl": f"unix://{socket}"}),
    ]
    for priority, group in enumerate(groups, start=1):
        names = ",".join(program.name for program in group.programs)
        sections.append(_section(f"group:{group.name}", {"programs": names, "priority": priority}))
        sections += [_program(settings, group, program) for program in group.programs]
    return "\n".join(sections)


def ask_states(settings: Settings) -> list[State]:
    """The state of every program. Raises NotRunningError when no supervisor answers."""
    transport = SupervisorTransport(None, None, f"unix://{control_socket(settings)}")
    # The host is a placeholder: the transport holds the address.
    with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
        try:
            answer: Any = proxy.supervisor.getAllProcessInfo()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise NotRunningError(f"no stack runs on {settings.data}") from error
    return [State(one["name"], one["statename"], one["pid"], one["description"]) for one in answer]


_RPC_FACTORY = "supervisor.rpcinterface:make_main_rpcinterface"


def _program(settings: Settings, group: Group, program: Program) -> str:
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    return _section(
        f"program:{program.name}",
        {
            "command": shlex.join(program.command),
            **({"environment": environment} if environment else {}),
            "autorestart": "true",
            "startsecs": START_SECONDS,
            "startretries": START_RETRIES,
            "stopsignal": "TERM",
            "stopwaitsecs": group.stop_seconds_max,
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(settings.logs / f"{program.name}.log"),
            "stdout_logfile_maxbytes": LOG_BYTES_MAX,
            "stdout_logfile_backups": LOG_FILES_KEPT,
        },
    )


def _section(name: str, values: dict[str, str | int]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""])
