"""Who may import whom: the arrows point inwards, and the pure parts touch no framework."""

import ast
import sys
from pathlib import Path

import pytest

import contract

SERVICES = Path(contract.__file__).parents[1]
FRAMEWORKS = {
    "aiohttp",
    "blacksheep",
    "click",
    "duckdb",
    "environ",
    "essentials",
    "httptools",
    "multidict",
    "nats",
    "openapidocs",
    "uvicorn",
    "uvloop",
}
PURE = [
    "processor.charging",
    "processor.fees",
    "processor.health_report",
    "processor.provider_contract",
    "processor.routing",
    "processor.routing.backlog",
    "processor.routing.beliefs",
    "processor.routing.breaker",
    "processor.routing.decision",
    "processor.routing.lane",
    "processor.routing.limit",
    "processor.routing.policy",
    "processor.routing.router",
    "processor.journal",
    "processor.health_lease",
    "processor.health_record",
    "processor.claims",
    "processor.status",
    "processor.charging_health",
    "projector.projection",
    "projector.bulk",
    "projector.rollup",
    "gateway.payments",
    "gateway.windows",
    "gateway.views",
    "gateway.problems",
]
PROGRAMS = ["gateway", "processor", "projector", "simulator"]


def files_of(package: str) -> list[Path]:
    return sorted((SERVICES / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """Every module that the file imports, anywhere in it, by its full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_modules(path)}


def own_path(module: str) -> Path | None:
    """The file of a module of this repository."""
    path = SERVICES.joinpath(*module.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


def reached_packages(module: str) -> set[str]:
    """Every package that importing the module brings along, through the repository's own modules."""
    packages: set[str] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = own_path(name)
        packages.add(name.partition(".")[0])
        if path is None or name in seen:
            continue
        seen.add(name)
        waiting += [*imported_modules(path), *(str(parent) for parent in [name.rpartition(".")[0]] if parent)]
    return packages


@pytest.mark.parametrize("path", files_of("contract"), ids=lambda path: path.stem)
def test_the_contract_imports_nothing_but_the_standard_library_and_orjson(path: Path) -> None:
    assert imported_packages(path) <= sys.stdlib_module_names | {"orjson", "contract"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_program_imports_another(program: str) -> None:
    assert files_of(program)
    for path in files_of(program):
        assert imported_packages(path).isdisjoint(set(PROGRAMS) - {program}), path


def test_the_runtime_imports_no_service_but_the_contract() -> None:
    own = {path.name for path in SERVICES.iterdir() if path.is_dir()}
    assert files_of("runtime")
    for path in files_of("runtime"):
        assert imported_packages(path) & own <= {"contract", "runtime"}, path


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_brings_no_framework_along(module: str) -> None:
    assert own_path(module) is not None
    assert reached_packages(module).isdisjoint(FRAMEWORKS)


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_has_no_clock_no_chance_and_no_network(module: str) -> None:
    path = own_path(module)
    assert path is not None
    assert imported_packages(path).isdisjoint(
        {"asyncio", "random", "runtime", "secrets", "socket", "threading", "time"}
    )


def test_this_test_sees_a_framework_where_there_is_one() -> None:
    assert "nats" in reached_packages("gateway.app") | reached_packages("processor.worker")
    assert "duckdb" in reached_packages("projector.follower")
