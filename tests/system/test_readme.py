"""What the README shows is what a reader sees who types it."""

import asyncio
import re
import subprocess
from pathlib import Path

from tests.support.conditions import eventually
from tests.support.stack import Stack

README = (Path(__file__).parents[2] / "README.md").read_text()
ADDRESS = "http://127.0.0.1:9999"


def shown() -> list[tuple[str, str]]:
    """Each command of the README's session with curl, and its output."""
    block = next(one for one in re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL) if "$ curl" in one)
    sessions = re.findall(r"^\$ (curl (?:[^\n]*\\\n)*[^\n]*)\n(.*?)(?=^\$ |\Z)", block, re.MULTILINE | re.DOTALL)
    return [(command, output.strip()) for command, output in sessions]


def matches(output: str, expected: str) -> bool:
    """An ellipsis in what is expected stands for anything."""
    pattern = ".*".join(map(re.escape, expected.split("…")))
    return re.fullmatch(pattern, output.replace("\r", "").strip(), re.DOTALL) is not None


async def test_the_commands_of_the_readme_print_what_it_shows(tmp_path: Path) -> None:
    session = shown()
    assert len(session) == 3
    async with Stack(tmp_path / "data") as stack:
        for command, expected in session:
            typed = command.replace(ADDRESS, stack.url).replace("curl ", "curl -s ", 1)
            is_a_read = "-d" not in command
            said = ""

            async def prints(typed: str = typed, expected: str = expected) -> bool:
                nonlocal said
                said = await asyncio.to_thread(
                    subprocess.check_output, ["bash", "-c", typed], text=True, stderr=subprocess.STDOUT
                )
                return matches(said, expected)

            if is_a_read:
                # A person does not type as fast as the payment is charged.
                await eventually(prints, what=f"{command} prints {expected}")
            else:
                assert await prints(), said
