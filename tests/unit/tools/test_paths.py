"""Files that programs, the Makefile and the pages name exist, so that a move leaves no stale path behind."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
MADE = {".venv", "build", "data"}
"""What `make` and the programs write."""
_CHAIN = re.compile(r'\b(?:PROJECT|REPOSITORY)((?: / "[\w.-]+")+)(?! / )')
_MODULE = re.compile(r"-m (qa(?:\.\w+)+)|\b(qa\.(?:bench|chaos|load|routing_sim)\.\w+)")
_PATH = re.compile(
    r"(?<![\w./-])((?:qa|tools|services|caddy|requirements)/[\w/-]*\w(?:\.(?:py|js|txt|in|json|sql|conf|sh))?)(?![\w*<{…-])"
)
_PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Makefile",
    "Dockerfile",
    "pyproject.toml",
    *(
        str(path.relative_to(PROJECT))
        for folder in ("how-to", "explanation", "reference")
        for path in sorted((PROJECT / "docs" / folder).glob("*.md"))
    ),
]


def stale_chains(source: str) -> list[str]:
    """The paths of the form PROJECT / "folder" / "file" that do not exist."""
    parts = [re.findall(r'"([\w.-]+)"', chain) for chain in _CHAIN.findall(source)]
    return ["/".join(one) for one in parts if one[0] not in MADE and not PROJECT.joinpath(*one).exists()]


def stale_paths(text: str) -> list[str]:
    """The paths and modules named in a text that do not exist."""
    modules = [first or second for first, second in _MODULE.findall(text)]
    paths = [*_PATH.findall(text), *(module.replace(".", "/") for module in modules)]
    return [path for path in paths if not any((PROJECT / f"{path}{ending}").exists() for ending in ("", ".py"))]


@pytest.mark.parametrize("folder", ["qa", "tests", "tools"])
def test_paths_that_are_put_together_from_the_project_exist(folder: str) -> None:
    for path in (PROJECT / folder).rglob("*.py"):
        if path != Path(__file__):
            assert stale_chains(path.read_text()) == [], path


@pytest.mark.parametrize("name", _PAGES)
def test_paths_that_are_named_exist(name: str) -> None:
    assert stale_paths((PROJECT / name).read_text()) == []


def test_a_stale_path_is_found() -> None:
    assert stale_chains('PROJECT / "load" / "k6" / "run"') == ["load/k6/run"]
    assert stale_chains('PROJECT / "qa" / "load" / "k6" / "run"') == []
    assert stale_paths("python -m qa.loads.steady, qa/bench/gone.py") == ["qa/bench/gone.py", "qa/loads/steady"]
