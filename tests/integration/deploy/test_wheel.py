"""The wheel as the image is built from it: what it installs, and that its programs start."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
PROGRAMS = {"tollgate", "console", "gateway", "processor", "projector", "simulator"}


def pip(*arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, arguments)],
        check=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what the Dockerfile copies, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert "COPY pyproject.toml README.md LICENSE ./\nCOPY services services\nCOPY src src\n" in dockerfile
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(PROJECT / "services", source / "services", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "src", source / "src", symlinks=True, ignore=shutil.ignore_patterns("*.egg-info"))
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


def test_one_top_level_package_and_the_programs_are_installed(installed: Path) -> None:
    top_level = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    assert top_level == {"tollgate", "bin"}
    assert {path.name for path in (installed / "bin").iterdir()} == PROGRAMS


def test_the_wheel_has_every_file_of_the_package_and_its_licence(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "services"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    expected = {path.replace("services/", "tollgate/", 1) for path in tracked if (PROJECT / path).exists()}
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"tollgate-{version}.dist-info/METADATA").decode()
    assert {name for name in names if name.startswith("tollgate/")} == expected
    assert "tollgate/py.typed" in names
    assert f"tollgate-{version}.dist-info/licenses/LICENSE" in names
    assert "License-Expression: MIT" in metadata


def test_its_program_shows_its_version(installed: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(installed / "bin" / "tollgate"), "--version"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=installed,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.split() == [
        "tollgate",
        tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"],
    ]
