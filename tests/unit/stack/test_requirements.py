import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]
DECLARED: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = DECLARED["optional-dependencies"]


def lines(name: str) -> list[str]:
    return (PROJECT / "requirements" / f"{name}.txt").read_text().splitlines()


def pinned(name: str) -> dict[str, str]:
    pins = (re.match(r"([\w.-]+)==(\S+)", line) for line in lines(name))
    return {pin[1].lower(): pin[2] for pin in pins if pin}


@pytest.mark.parametrize(("name", "extras"), [("base", []), ("stack", ["stack"]), ("dev", list(EXTRAS))])
def test_everything_that_pyproject_asks_for_is_pinned(name: str, extras: list[str]) -> None:
    asked = [*DECLARED["dependencies"], *(one for extra in extras for one in EXTRAS[extra]), "setuptools"]
    names = {re.split(r"[<>=!~\[; ]", one)[0].lower() for one in asked}
    assert names <= pinned(name).keys()


def test_the_smaller_sets_are_parts_of_the_larger_ones() -> None:
    assert pinned("base").items() <= pinned("stack").items() <= pinned("dev").items()


@pytest.mark.parametrize("name", ["base", "stack", "dev"])
def test_a_lock_file_names_no_place_to_download_from(name: str) -> None:
    assert not [line for line in lines(name) if "://" in line or line.startswith(("-", "."))]
