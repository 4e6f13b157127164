"""The program log of a process that runs a service: form, level, signals, and what nobody caught."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SERVICE = """
import asyncio, logging, threading, warnings
import environ
from tollgate.runtime.errors import FatalError, LogChangedError
from tollgate.runtime.log_fields import about
from tollgate.runtime.process import run
from tollgate.runtime.settings import ServiceSettings

logger = logging.getLogger("tollgate.tests")

@environ.config(prefix="")
class Settings(ServiceSettings):
    pass

async def serve(settings):
    logger.debug("detail")
    logger.info("begins", extra=about(sequence=7))
    logging.getLogger("aiohttp.client").debug("Authorization: Bearer s3cret")
    logging.getLogger("uvicorn.error").info("Application startup complete.")
    try:
        {body}
    finally:
        logger.warning("ends")

run(serve, Settings, program="gateway", instance=lambda _: "gateway-1")
"""
WAIT = "await asyncio.Event().wait()"


@contextmanager
def service(body: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    program = subprocess.Popen(
        [sys.executable, "-c", SERVICE.replace("{body}", body)],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
    )
    try:
        yield program
    finally:
        program.kill()
        program.wait()
        assert program.stderr is not None
        program.stderr.close()


def ended(body: str, **environment: str) -> tuple[int, list[str]]:
    with service(body, **environment) as program:
        _, errors = program.communicate(timeout=30)
        return program.returncode, errors.splitlines()


def lines_of(body: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    status, lines = ended(body, LOG_FORMAT="json", **environment)
    return status, [json.loads(line) for line in lines]


def test_by_default_a_line_is_text_as_it_was() -> None:
    status, lines = ended("pass")
    assert status == 0
    assert [line.partition("Z ")[2] for line in lines] == [
        "INFO    tollgate.tests: begins",
        "INFO    uvicorn.error: Application startup complete.",
        "WARNING tollgate.tests: ends",
    ]


def test_json_lines_are_of_libraries_too_and_name_program_and_instance() -> None:
    status, lines = lines_of("pass")
    assert status == 0
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("tollgate.tests", "begins"),
        ("uvicorn.error", "Application startup complete."),
        ("tollgate.tests", "ends"),
    ]
    assert lines[0]["sequence"] == 7
    assert {(line["program"], line["instance"]) for line in lines} == {("gateway", "gateway-1")}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["detail", "begins", "Application startup complete.", "ends"]),
        ("info", ["begins", "Application startup complete.", "ends"]),
        ("WARNING", ["ends"]),
        ("ERROR", []),
    ],
)
def test_the_level_holds_for_all_and_libraries_show_no_details(level: str, expected: list[str]) -> None:
    assert [line["message"] for line in lines_of("pass", LOG_LEVEL=level)[1]] == expected


def test_a_bad_setting_is_one_line_in_the_form_that_was_asked_for() -> None:
    status, lines = lines_of("pass", METRICS_PORT="s3ven")
    assert status == 1
    assert [(line["level"], line["event"]) for line in lines] == [("CRITICAL", "exited")]
    assert lines[0]["message"].startswith("METRICS_PORT is 's3ven': it must be ")
    status, texts = ended("pass", LOG_FORMAT="xml")
    assert (status, len(texts)) == (1, 1)
    assert texts[0].endswith("LOG_FORMAT is 'xml': it must be text or json")


def test_an_error_that_ends_the_program_is_one_line_with_its_kind() -> None:
    for error, event in (('FatalError("no")', "exited"), ('LogChangedError("it went back")', "log_changed")):
        status, lines = lines_of(f"raise {error}")
        assert status == 1
        assert (lines[-1]["level"], lines[-1]["event"]) == ("CRITICAL", event)
        assert "exception" not in lines[-1]


def test_what_nobody_caught_is_one_json_object_with_its_traceback() -> None:
    status, lines = lines_of('raise RuntimeError("unforeseen")')
    assert status == 1
    last = lines[-1]
    assert (last["level"], last["event"]) == ("CRITICAL", "uncaught_exception")
    assert last["message"] == "uncaught exception: RuntimeError: unforeseen"
    assert last["exception"].startswith("Traceback ")
    assert last["exception"].endswith("RuntimeError: unforeseen")


def test_so_is_an_error_of_a_thread_of_a_task_and_of_a_finaliser_and_a_warning() -> None:
    body = """
        def fail(): raise RuntimeError("unforeseen")
        thread = threading.Thread(target=fail, name="writer"); thread.start(); thread.join()
        async def fails(): raise RuntimeError("unforeseen")
        task = asyncio.ensure_future(fails()); await asyncio.sleep(0); await asyncio.sleep(0); del task
        class Fails:
            def __del__(self): raise RuntimeError("unforeseen")
        Fails()
        warnings.warn("old")
    """.strip()
    status, lines = lines_of(body)
    assert status == 0
    failed = [line["message"].partition("\n")[0] for line in lines if "RuntimeError: unforeseen" in str(line)]
    assert failed[:1] == ["uncaught exception in writer: RuntimeError: unforeseen"]
    assert "Task exception was never retrieved" in failed
    ignored = [message for message in failed if message.startswith("uncaught exception, ignored ")]
    assert any("Fails.__del__" in message for message in ignored)
    assert any(line["logger"] == "py.warnings" for line in lines)


def test_signals_change_the_level_while_it_runs_and_each_change_is_a_line() -> None:
    def after(number: signal.Signals) -> str:
        program.send_signal(number)
        line: dict[str, Any] = json.loads(errors.readline())
        assert (line["event"], line["reason"]) == ("level_changed", number.name)
        return str(line["message"]).removeprefix("the level of this program log is now ")

    with service(WAIT, LOG_FORMAT="json") as program:
        assert program.stderr is not None
        errors = program.stderr
        assert [json.loads(errors.readline())["logger"] for _ in range(2)] == ["tollgate.tests", "uvicorn.error"]
        assert after(signal.SIGUSR1) == "DEBUG (SIGUSR1)"
        assert after(signal.SIGUSR2) == "INFO (SIGUSR2)"
        assert after(signal.SIGUSR2) == "WARNING (SIGUSR2)"
        assert after(signal.SIGUSR2) == "ERROR (SIGUSR2)"
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
        assert errors.read() == "", "at ERROR, a warning is not written"
