"""What the README and the pages show after a command is what the command prints."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.stack import Stack

PROJECT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:9999"
PAY = f"""curl -s {ADDRESS}/payments -H 'Content-Type: application/json' \
    -d '{{"correlationId": "c10bf8ff-4c11-482c-bfab-378e7f120a9f", "amount": 20.49}}'"""
SETTLED = f"curl -s {ADDRESS}/payments/c10bf8ff-4c11-482c-bfab-378e7f120a9f", '…"state":"processed"…'
_BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"-{2,}"), "--"),
    (re.compile(r"\d[\d.,:TZ-]*"), "0"),
    (re.compile(r"\s+"), " "),
]


def shown(page: str) -> list[tuple[str, str]]:
    """Each command that the page shows with its output, in order."""
    session: list[tuple[str, str]] = []
    for block in _BLOCK.findall((PROJECT / page).read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, output = _split(part.splitlines())
            if output:
                session.append((command, output))
    return session


def _split(lines: list[str]) -> tuple[str, str]:
    """A command ends with the first line that continues neither by a backslash nor by an open quotation mark."""
    ends = next(
        number
        for number, line in enumerate(lines, start=1)
        if not line.endswith("\\") and "\n".join(lines[:number]).count('"') % 2 == 0
    )
    return "\n".join(lines[:ends]), "\n".join(lines[ends:]).strip()


def matches(output: str, expected: str) -> bool:
    """An ellipsis in what is expected stands for anything."""
    pattern = ".*".join(map(re.escape, expected.split("…")))
    return re.fullmatch(pattern, output.replace("\r", "").strip(), re.DOTALL) is not None


def looks_like(output: str, expected: str) -> bool:
    """Whether it begins as shown, and each further line has the form of one that is shown: figures may differ."""
    forms = [_form(line) for line in expected.splitlines()]
    lines = [_form(line) for line in output.strip().splitlines()]
    begins = bool(lines) and matches(lines[0], forms[0])
    return begins and all(any(matches(line, form) for form in forms) for line in lines)


def _form(line: str) -> str:
    for pattern, placeholder in _VARYING:
        line = pattern.sub(placeholder, line)
    return line.strip()


class Terminal:
    """Types commands beside a running stack, in a folder of its own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    async def prints(self, command: str, expected: str) -> tuple[bool, str]:
        typed = re.sub(r"^curl (?!-s)", "curl -s ", command).replace(ADDRESS, self._stack.url)
        said = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", typed],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=self._folder,
            env={**os.environ, **self._stack.environment, "PATH": f"{BIN}:{os.environ['PATH']}"},
        )
        compare = matches if command.startswith("curl") else looks_like
        return compare(said.stdout, expected), said.stdout

    async def prints_soon(self, command: str, expected: str) -> None:
        """A person does not type as fast as the payment is charged."""

        async def prints() -> bool:
            return (await self.prints(command, expected))[0]

        await eventually(prints, what=f"{command} prints {expected}")


@pytest.mark.parametrize(("page", "count"), [("README.md", 3), ("docs/quickstart.md", 6)])
async def test_a_page_read_from_the_top_shows_what_its_commands_print(page: str, count: int, tmp_path: Path) -> None:
    session = shown(page)
    assert len(session) == count
    async with Stack(tmp_path / "data") as stack:
        terminal = Terminal(stack, tmp_path)
        for command, expected in session:
            if command.startswith("curl") and "-d" not in command:
                await terminal.prints_soon(command, expected)
            else:
                is_as_shown, said = await terminal.prints(command, expected)
                assert is_as_shown, said


async def test_how_to_pages_show_what_their_commands_print(tmp_path: Path) -> None:
    session = [*shown("docs/how-to/backup.md"), *shown("docs/how-to/query.md"), shown("docs/how-to/verify.md")[0]]
    # A restore needs a stack without a log: tests/integration/ops.
    session = [one for one in session if "restore" not in one[0]]
    assert len(session) == 10
    async with Stack(tmp_path / "data") as stack:
        terminal = Terminal(stack, tmp_path)
        assert (await terminal.prints(PAY, ""))[0]
        await terminal.prints_soon(*SETTLED)
        for command, expected in session:
            is_as_shown, said = await terminal.prints(command, expected)
            assert is_as_shown, f"$ {command}\n{said}"
