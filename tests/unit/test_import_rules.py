"""Which layer may import which: dependencies point inwards, and the pure modules use no framework."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tollgate

ROOT = Path(tollgate.__file__).parent
FRAMEWORKS = {
    "aiohappyeyeballs",
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
    "opentelemetry",
    "uvicorn",
    "uvloop",
}
INNER = {"contract", "runtime", "messaging"}
LAYERS = {
    "contract": {"contract"},
    "runtime": {"contract", "runtime"},
    "messaging": {*INNER},
    "gateway": {*INNER, "gateway"},
    "processor": {*INNER, "processor"},
    "archive": {*INNER, "archive"},
    "projector": {*INNER, "archive", "projector"},
    "console": {*INNER, "console"},
    "simulator": {"runtime", "simulator"},
    "ops": {*INNER, "archive", "ops", "stack"},
    "stack": {*INNER, "stack"},
    "launcher": {*INNER, "stack", "launcher", "gateway", "processor", "projector", "console"},
    "status": {*INNER, "status", "stack", "console", "processor"},
}
"""What each folder of `services/` may import of the others."""
PURE = [
    "console.access",
    "console.explanation",
    "console.history",
    "console.live",
    "console.observation",
    "console.programs",
    "console.providers",
    "console.samples",
    "console.timeline",
    "gateway.problems",
    "gateway.requests",
    "gateway.responses",
    "gateway.windows",
    "processor.charging.outcomes",
    "processor.charging.provider_contract",
    "processor.charging.state_cache",
    "processor.health.lease",
    "processor.health.record",
    "processor.health.report",
    "processor.operations.charging_health",
    "processor.operations.manual_resolution",
    "processor.operations.status",
    "processor.routing.backlog",
    "processor.routing.circuit_breaker",
    "processor.routing.concurrency_limit",
    "processor.routing.decision",
    "processor.routing.estimator",
    "processor.routing.policy",
    "processor.routing.provider_state",
    "processor.routing.router",
    "projector.live.charge_delays",
    "projector.live.projection",
    "projector.live.rollup",
    "projector.rebuild.bulk_projection",
    "projector.rebuild.plain_lines",
    "projector.standby.election",
    "status.answers",
    "status.screen",
    "status.view",
]
PROGRAMS = ["gateway", "processor", "projector", "console", "simulator"]
READS_ENVIRONMENT = {
    "ops/side_stack.py": "a temporary stack inherits the environment, except the variables of the stack beside it",
    "runtime/running_stack.py": "an operator's command takes what is not set from the running stack",
}
"""Modules that read the environment and are no composition root, with the reason."""


def files_of(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


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


def imported_layers(path: Path) -> set[str]:
    """The folders of `services/` that the file imports from."""
    return {name.split(".")[1] for name in imported_modules(path) if name.startswith("tollgate.")} & LAYERS.keys()


def own_path(module: str) -> Path | None:
    """The file of a module of Tollgate."""
    head, _, rest = module.partition(".")
    if head != "tollgate":
        return None
    path = ROOT.joinpath(*rest.split(".")) if rest else ROOT
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


def reached_packages(module: str) -> set[str]:
    """Every package that importing the module brings along, through Tollgate's own modules."""
    packages: set[str] = set()
    visited: set[str] = set()
    waiting = [f"tollgate.{module}"]
    while waiting:
        name = waiting.pop()
        path = own_path(name)
        packages.add(name.partition(".")[0])
        if path is None or name in visited:
            continue
        visited.add(name)
        waiting += [*imported_modules(path), *(str(parent) for parent in [name.rpartition(".")[0]] if parent)]
    return packages


def test_every_folder_is_a_layer() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == LAYERS.keys()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    assert files_of(layer)
    for path in files_of(layer):
        assert imported_layers(path) <= LAYERS[layer], path


@pytest.mark.parametrize("path", files_of("contract"), ids=lambda path: path.stem)
def test_the_contract_imports_nothing_but_the_standard_library_and_orjson(path: Path) -> None:
    assert imported_packages(path) <= sys.stdlib_module_names | {"orjson", "tollgate"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_program_imports_another(program: str) -> None:
    for path in files_of(program):
        assert imported_layers(path).isdisjoint(set(PROGRAMS) - {program}), path


def test_make_run_knows_of_the_services_only_their_settings() -> None:
    services = tuple(f"tollgate.{program}" for program in PROGRAMS)
    for path in files_of("launcher"):
        of_services = {name for name in imported_modules(path) if name.startswith(services)}
        assert all(name.split(".")[2] == "settings" for name in of_services), path


def all_files() -> list[Path]:
    return [path for layer in LAYERS for path in files_of(layer)] + sorted(ROOT.glob("*.py"))


def is_composition_root(path: Path) -> bool:
    """Whether parts are joined there: a command line, settings, or what starts the programs of a stack."""
    return path.name in {"cli.py", "settings.py"} or path.parent in {ROOT / "stack", ROOT / "launcher"}


def reads_environment(path: Path) -> bool:
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    imported = imported_modules(path)
    return bool({"environ", "getenv"} & names or {"environ", "os.environ", "os.getenv"} & imported)


def bypasses_messaging(path: Path) -> bool:
    """Whether the file imports nats, names a subject of JetStream's API, or uses the client inside `Broker`."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    clients = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "client"]
    return (
        "nats" in imported_packages(path)
        or any(text.startswith("$JS.") for text in texts)
        or any("broker" in ast.unparse(node.value).lower() for node in clients)
    )


def test_only_messaging_reaches_nats() -> None:
    bypassing = [path for path in all_files() if bypasses_messaging(path)]
    assert bypassing
    assert [path for path in bypassing if path.parent != ROOT / "messaging"] == []


@pytest.mark.parametrize(
    "source", ["from nats.aio.msg import Msg", 'ask("$JS.API.INFO")', "self._broker.client.publish()"]
)
def test_a_file_that_bypasses_messaging_is_found(source: str, tmp_path: Path) -> None:
    path = tmp_path / "bypass.py"
    path.write_text(source)
    assert bypasses_messaging(path)


def test_only_composition_roots_read_the_environment() -> None:
    reading = {path.relative_to(ROOT).as_posix() for path in all_files() if reads_environment(path)}
    assert "runtime/settings.py" in reading
    others = {path for path in reading if not is_composition_root(ROOT / path)}
    assert others == READS_ENVIRONMENT.keys()


def test_opentelemetry_is_imported_by_one_module_which_is_imported_only_while_traces_are_on() -> None:
    importing = [path for path in all_files() if "opentelemetry" in imported_packages(path)]
    assert importing == [ROOT / "runtime" / "otlp.py"]
    # Not at the top of a module, so not by starting a program.
    programs = "; ".join(f"import tollgate.{program}.cli" for program in PROGRAMS)
    check = "import sys; assert not {'opentelemetry', 'google', 'requests'} & sys.modules.keys(), 'imported'"
    subprocess.run([sys.executable, "-c", f"{programs}; {check}"], check=True)


def test_each_jetstream_error_code_is_written_once() -> None:
    code = re.compile(r"\b10[01]\d\d\b")
    numbers = [number for path in files_of("messaging") for number in code.findall(path.read_text())]
    assert "10037" in numbers
    assert sorted(numbers) == sorted(set(numbers))


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_brings_no_framework_along(module: str) -> None:
    assert own_path(f"tollgate.{module}") is not None
    assert reached_packages(module).isdisjoint(FRAMEWORKS)


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_has_no_clock_no_chance_and_no_network(module: str) -> None:
    path = own_path(f"tollgate.{module}")
    assert path is not None
    assert imported_packages(path).isdisjoint({"asyncio", "random", "secrets", "socket", "threading", "time"})
    assert imported_layers(path).isdisjoint({"runtime", "messaging"})


def test_this_test_sees_a_framework_where_there_is_one() -> None:
    assert "nats" in reached_packages("gateway.app") | reached_packages("processor.intake.queue_intake")
    assert "duckdb" in reached_packages("projector.live.follower")
