"""A start that cannot succeed ends at once with one line, and leaves nothing behind."""

import contextlib
import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Ended, run_command
from tests.support.forked import BIN
from tests.support.stack import Stack
from tollgate.stack.preconditions import DISK_BYTES_MIN, OPEN_FILES_MIN

SECONDS_MAX = 30.0
"""With the start of Python, beside other tests."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")


def start(data: Path, **variables: str) -> Ended:
    """`tollgate run` that is expected to end by itself."""
    ports = {name: value for name, value in Stack(data).environment.items() if name.startswith("TOLLGATE_")}
    ended = run_command("tollgate", "run", folder=data.parent, **{"DATA_DIR": str(data), **ports, **variables})
    assert ended.status == 1
    assert ended.seconds < SECONDS_MAX
    assert not (data / "run" / "stack.json").exists()
    return ended


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_PORT", "abc"),
        ("PROCESSOR_TIMEOUT_SECONDS", "-1"),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "127.0.0.1:8001"),
        ("LOG_REPLICAS", "many"),
        ("TOLLGATE_PORT", "http"),
        ("ALLOW_PURGE", "maybe"),
        ("NATS_CA_FILE", "/nowhere.pem"),
    ],
)
def test_a_setting_that_a_program_would_refuse_is_refused_before_any_is_started(
    tmp_path: Path, variable: str, value: str
) -> None:
    line = start(tmp_path / "data", **{variable: value}).line
    assert f"{variable} is {value!r}: it must be " in line


@pytest.mark.parametrize("name", ["da{ta", 'da"ta', "da\nta", "data;"])
def test_a_folder_that_a_configuration_cannot_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "DATA_DIR is " in start(tmp_path / name).line


@pytest.mark.parametrize(
    ("program", "variables", "name"),
    [
        (("gateway", "run"), {"GATEWAY_PORT": "abc"}, "GATEWAY_PORT"),
        (("processor", "run"), {"PAYMENT_PROCESSOR_URL_DEFAULT": "127.0.0.1:8001"}, "PAYMENT_PROCESSOR_URL_DEFAULT"),
        (("projector", "run"), {"SUMMARY_SETTLE_SECONDS": "soon"}, "SUMMARY_SETTLE_SECONDS"),
        (("projector", "verify"), {"VERIFY_CONCURRENCY": "0"}, "VERIFY_CONCURRENCY"),
        (("projector", "status"), {"NATS_URL": "nats://host:x"}, "NATS_URL"),
        (("processor", "status"), {"PROCESSOR_TIMEOUT_SECONDS": "-1"}, "PROCESSOR_TIMEOUT_SECONDS"),
        (("simulator",), {"SIMULATOR_PORT": "abc"}, "SIMULATOR_PORT"),
        (("simulator",), {"SIMULATOR_MAX_PAYMENTS": "0"}, "SIMULATOR_MAX_PAYMENTS"),
        (("simulator",), {"SIMULATOR_FEE": "2"}, "SIMULATOR_FEE"),
        (("tollgate", "log"), {"TOLLGATE_PORT": "0"}, "TOLLGATE_PORT"),
    ],
)
def test_each_program_refuses_a_bad_value_in_one_line(
    tmp_path: Path, program: tuple[str, ...], variables: dict[str, str], name: str
) -> None:
    ended = run_command(*program, folder=tmp_path, **variables)
    assert ended.status != 0
    assert name in ended.line
    assert name == "NATS_URL" or variables[name] in ended.line
    assert ended.seconds < SECONDS_MAX


@contextlib.contextmanager
def disk(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tollgate-test", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
@pytest.mark.parametrize("left_bytes", [0, 100_000])
def test_a_full_disk_is_one_line(tmp_path: Path, left_bytes: int) -> None:
    data = tmp_path / "data"
    with disk(data, f"size={DISK_BYTES_MIN}"):
        with contextlib.suppress(OSError), (data / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(b"\0" * 4096):
                pass
        os.truncate(data / "ballast", (data / "ballast").stat().st_size - left_bytes)
        line = start(data).line
    assert str(data) in line
    assert "KB left" in line or "No space left" in line


@needs_root
@pytest.mark.parametrize("has_run_before", [False, True])
def test_data_that_has_turned_read_only_is_one_line(tmp_path: Path, has_run_before: bool) -> None:
    data = tmp_path / "data"
    with disk(data, "size=64m"):
        if has_run_before:
            for name in ("run", "logs", "nats", "projector"):
                (data / name).mkdir(mode=0o700)
        subprocess.run(["mount", "-o", "remount,ro", str(data)], check=True)
        line = start(data).line
    assert str(data) in line
    assert "read-only" in line.lower()


@pytest.mark.parametrize("beneath", ["file", "file/data"])
def test_a_file_where_the_folder_would_be_is_one_line(tmp_path: Path, beneath: str) -> None:
    (tmp_path / "file").touch()
    ended = run_command("tollgate", "run", folder=tmp_path, DATA_DIR=str(tmp_path / beneath))
    assert ended.status == 1
    assert str(tmp_path / "file") in ended.line


def test_too_few_open_files_are_one_line(tmp_path: Path) -> None:
    limited = subprocess.run(
        ["bash", "-c", f"ulimit -n {OPEN_FILES_MIN // 2}; exec {BIN / 'tollgate'} run"],
        env=Stack(tmp_path / "data").environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert limited.returncode == 1
    assert "ulimit -n" in limited.stderr
    assert limited.stderr.count("\n") == 1


def test_a_soft_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    """The start then fails for another reason, which is found after it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES_MIN:
        pytest.skip("the hard limit is too low here")
    stack = Stack(tmp_path / "data")
    with socket.create_server(("127.0.0.1", int(stack.environment["TOLLGATE_PORT"]))):
        limited = subprocess.run(
            ["bash", "-c", f"ulimit -S -n 512; exec {BIN / 'tollgate'} run"],
            env=stack.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert "is in use" in limited.stderr
    assert limited.stderr.count("\n") == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_port_in_use_for_ipv6_only_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as other:
        number = str(other.getsockname()[1])
        line = start(tmp_path / "data", TOLLGATE_PORT=number).line
    assert number in line
    assert "TOLLGATE_PORT" in line


def test_a_gateway_that_cannot_listen_reports_it_in_its_last_line_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "socket").mkdir()
    where = {"NATS_URL": "nats://127.0.0.1:1", "GATEWAY_UDS": str(tmp_path / "socket")}
    ended = run_command("gateway", "run", folder=tmp_path, **where)
    assert ended.status == 1
    assert "the gateway cannot listen" in ended.errors.splitlines()[-1]
    assert "Traceback" not in ended.errors
