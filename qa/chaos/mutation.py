"""Mutations: copies of the product's sources, broken on purpose by replacing some text."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

SERVICES = Path(__file__).parents[2] / "services"
CATALOGUE = Path(__file__).parent / "mutations"


class StaleMutationError(Exception):
    """The text that a mutation replaces is not in the sources exactly once: the product has changed."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement of text. `file` is relative to services/. `old` must occur there exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mutation. `caught_by` are columns; if empty, `protected_by` is the other rule that makes it harmless."""

    name: str
    what: str
    replacements: tuple[Replacement, ...]
    caught_by: tuple[str, ...]
    protected_by: str = ""
    focus: tuple[str, ...] = ()
    """Recipes of the runs; random ones if empty."""

    def changed(self, services: Path) -> dict[Path, str]:
        """The new text of each changed file. Raises StaleMutationError."""
        changed: dict[Path, str] = {}
        for one in self.replacements:
            path = services / one.file
            text = changed.get(path) or path.read_text()
            if text.count(one.old) != 1:
                raise StaleMutationError(f"{self.name}: found {text.count(one.old)} times in {one.file}: {one.old!r}")
            changed[path] = text.replace(one.old, one.new)
        for path, text in changed.items():
            compile(text, path, "exec")
        return changed


def catalogue() -> list[Mutation]:
    """Every mutation, by name."""
    return [_read(path) for path in sorted(CATALOGUE.glob("*.toml"))]


def mutated_copy(mutation: Mutation, into: Path) -> Path:
    """Makes a mutated copy of services/ below `into`. Raises StaleMutationError."""
    services = into / mutation.name / "tollgate"
    shutil.copytree(SERVICES, services, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for path, text in mutation.changed(services).items():
        path.write_text(text)
    return services


def _read(path: Path) -> Mutation:
    fields = tomllib.loads(path.read_text())
    return Mutation(
        path.stem,
        fields["what"],
        tuple(Replacement(one["file"], one["old"].rstrip("\n"), one["new"].rstrip("\n")) for one in fields["replace"]),
        tuple(fields["caught_by"]),
        fields.get("protected_by", ""),
        tuple(fields.get("focus", ())),
    )
