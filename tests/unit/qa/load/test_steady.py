import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from qa.load.steady import main

# The discard port: nothing listens there on a test machine.
NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rate", "0"], "--rate"),
        (["--seconds", "601"], "--seconds"),
        (["--amount", "1.999"], "not an amount of whole cents"),
        (["--amount", "0"], "must be above 0"),
        (["--amount", "much"], "not an amount"),
        (["--url", "ftp://gateway"], "not an http:// address"),
        (["--kill", "nats"], "--kill needs"),
        (["--pids", "nats"], "not the name=pid"),
        (["--pids", f"me={os.getpid()}", "--kill", "nats"], "not running: nats"),
        (["--url", NOBODY, "--default", NOBODY, "--fallback", NOBODY], "gateway: "),
        (["--purge", "--url", NOBODY], "cannot purge"),
    ],
)
def test_a_run_that_cannot_begin_exits_with_2_and_the_reason(arguments: list[str], words: str) -> None:
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 2
    assert words in " ".join(told.output.split())


def test_a_data_directory_without_a_supervisor_cannot_be_measured(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["--processes-of", str(tmp_path)])
    assert told.exit_code == 2
    assert "no supervisord runs programs of" in told.output
