"""`make install` where a .venv exists that does not fit, and the targets that `make` lists."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
UNUSABLE = "Making .venv anew: "
NOTHING = "make: Nothing to be done for 'install'.\n"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a .venv that is complete as far as make can see: what pip would install is left out."""
    folder = tmp_path_factory.mktemp("checkout") / "first"
    folder.mkdir()
    shutil.copy(PROJECT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    (folder / "requirements").mkdir()
    for name in ("stack", "dev"):
        (folder / "requirements" / f"{name}.txt").touch()
    made = make(folder)
    assert made.returncode == 0, made.stderr
    assert UNUSABLE not in made.stdout
    # Making a virtual environment takes seconds, and copying one does not.
    stub = folder / "python"
    ready = shlex.quote(str(shutil.copytree(folder / ".venv", folder / "ready", symlinks=True)))
    stub.write_text(f'#!/bin/sh\n[ "$2" = venv ] && exec cp -a {ready} "$3"\nexec python3 "$@"\n')
    (folder / "ready" / "bin" / "gateway").unlink()
    for stamp in (folder / "ready").glob(".installed*"):
        stamp.unlink()
    stub.chmod(0o755)
    return folder


def make(folder: Path, *variables: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # In place of pip, which would need the network: says what it is told, and makes a program as pip does.
    pip = (
        "printenv PIP_USER; grep -q . .venv/bin/gateway 2>/dev/null"
        ' || echo "#!$(pwd -P)/.venv/bin/python" >.venv/bin/gateway; true'
    )
    stub = folder / "python"
    python = [f"PYTHON={stub}"] if stub.exists() else []
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PIP_"))}
    return subprocess.run(
        ["make", "install", f"PIP={pip.replace('$', '$$')}", *python, *variables],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def checkout(pristine: Path, tmp_path: Path) -> Path:
    """A copy of it that was moved nowhere, because the program names its new place."""
    folder = tmp_path / "here"
    shutil.copytree(pristine, folder, symlinks=True, ignore=shutil.ignore_patterns("ready"))
    (folder / ".venv" / "bin" / "gateway").write_text(f"#!{folder}/.venv/bin/python\n")
    (folder / ".venv" / "mark").touch()
    return folder


def test_a_venv_that_fits_is_left_alone(checkout: Path) -> None:
    made = make(checkout)
    assert (made.returncode, made.stdout) == (0, NOTHING)
    assert (checkout / ".venv" / "mark").exists()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("moved", "it was made in another place"),
        ("no pip", "it has no pip"),
        ("no python", "its Python does not run"),
    ],
)
def test_a_venv_that_does_not_fit_is_made_anew_and_says_why(checkout: Path, fault: str, why: str) -> None:
    match fault:
        case "moved":
            checkout = checkout.rename(checkout.with_name("there"))
        case "no pip":
            for path in (checkout / ".venv").glob("lib/python*/site-packages/pip*"):
                shutil.rmtree(path)
        case "no python":
            (checkout / ".venv" / "bin" / "python").unlink()
            (checkout / ".venv" / "bin" / "python").symlink_to("/nowhere/python")
    made = make(checkout)
    assert made.returncode == 0, made.stderr
    assert f"{UNUSABLE}{why}." in made.stdout
    assert not (checkout / ".venv" / "mark").exists()
    assert (checkout / ".venv" / "bin" / "gateway").read_text() == f"#!{checkout}/.venv/bin/python\n"
    assert make(checkout).stdout == NOTHING


def test_a_python_that_gives_no_pip_is_one_line(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    python = checkout / "python"
    python.write_text('#!/bin/sh\n[ "$2" = venv ] && exec python3 -m venv --without-pip "$3"\nexec python3 "$@"\n')
    python.chmod(0o755)
    made = make(checkout)
    assert made.returncode == 2
    assert "without pip" in made.stderr.splitlines()[0]
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("variables", "environment"), [((), {"PIP_USER": "1", "PIP_TARGET": "/nowhere"}), (("PIP_USER=1",), {})]
)
def test_pip_installs_into_the_venv_whatever_the_user_has_told_it(
    checkout: Path, variables: tuple[str, ...], environment: dict[str, str]
) -> None:
    shutil.rmtree(checkout / ".venv")
    made = make(checkout, *variables, **environment)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == ["Installing into .venv …", "0", "0"]


EARLIER_NAMES = (
    {"course"}
    | {f"bench-{what}" for what in ("rebuild", "summaries", "live", "kill")}
    | {f"load-{scenario}" for scenario in ("preview", "final", "ramp", "soak", "spike")}
)


def outside_make() -> dict[str, str]:
    """The environment without what `make test` adds to it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def listed_targets() -> list[str]:
    shown = subprocess.run(
        ["make", "help"], cwd=PROJECT, env=outside_make(), capture_output=True, text=True, timeout=20, check=True
    )
    return shown.stdout.splitlines()


def test_help_fits_on_a_screen_and_names_every_target() -> None:
    lines = listed_targets()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    listed = {line.split()[1] for line in lines if line.startswith("  make ")}
    phony = (PROJECT / "Makefile").read_text().split(".PHONY: ", 1)[1].split("\n\n", 1)[0].replace("\\\n", " ")
    assert listed == {*phony.split()} - EARLIER_NAMES - {"help"}


def test_every_target_named_in_the_documentation_exists() -> None:
    names = {line.split()[1] for line in listed_targets() if line.startswith("  make ")} | EARLIER_NAMES | {"help"}
    for page in [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]:
        for name in re.findall(r"(?:`|^|\$ )make ([a-z][a-z-]*[a-z])\b", page.read_text(), re.MULTILINE):
            assert name in names, page


def test_an_unknown_benchmark_is_one_line(checkout: Path) -> None:
    (checkout / ".venv" / ".installed-dev").touch()
    ended = subprocess.run(
        ["make", "bench", "WHAT=nothing"],
        cwd=checkout,
        env=outside_make(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 2
    assert (
        ended.stderr.splitlines()[0]
        == "make bench WHAT=stages|sizes|backlog|rebuild|summaries|live|years|archive|kill|watching|windows"
    )
