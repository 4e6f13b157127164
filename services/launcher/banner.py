"""The texts that `make run` prints."""

from pathlib import Path

from tollgate.stack.programs import MEASURED
from tollgate.stack.settings import Settings
from tollgate.stack.supervision import State


def starting(settings: Settings, names: list[str]) -> str:
    """The programs being started, with a warning when the settings risk accepted payments."""
    starts = f"Starting {', '.join(names)}. Logs: {shown(settings.logs)}"
    if not settings.runs_broker or settings.sync_interval == "always":
        return starts
    interval = settings.sync_interval
    return (
        f"WARNING: NATS_SYNC_INTERVAL={interval}. Payments are accepted before they are on the disk: "
        f"when the power fails, those of the last {interval} are lost. Only `always` keeps them.\n{starts}"
    )


def ready(settings: Settings, *, seconds: float, has_uuidgen: bool) -> str:
    """What runs, at which addresses, and commands to try; each can be pasted."""
    default, fallback = settings.provider_urls
    url = settings.edge_url
    new_id = "$(uuidgen)" if has_uuidgen else "$(python3 -c 'import uuid; print(uuid.uuid4())')"
    kind = "simulators" if settings.runs_simulators else "yours"
    processors = f"{default}, {fallback} ({kind})" if settings.charges else "none: TOLLGATE_CHARGES is false"
    console = f"  console     {settings.console_url}\n" if settings.has_console else ""
    first, last = settings.metrics_port, settings.metrics_port + len(MEASURED) - 1
    metrics = f"  metrics     http://127.0.0.1:{first}/metrics to :{last}\n" if first else ""
    durability = f"fsync: {settings.sync_interval}" if settings.runs_broker else "yours"
    return f"""
Tollgate is up at {url} after {seconds:.1f} s.

  broker      {settings.nats_url.rpartition("@")[2]} ({durability})
  processors  {processors}
  data        {shown(settings.data)}
  logs        {shown(settings.logs)}/<program>.log
{console}{metrics}
Pay, and see it:

  curl -i {url}/payments -H 'Content-Type: application/json' \\
       -d '{{"correlationId": "'"{new_id}"'", "amount": 19.90}}'
  curl {url}/payments-summary

Ctrl-C stops everything; the data stays.
"""


def not_ready(settings: Settings, states: list[State], answer: str, *, seconds: float) -> str:
    """The reason as far as it is known: programs that do not run, else the answer of /readyz."""
    down = [state for state in states if state.state != "RUNNING"]
    if not down:
        return f"Not ready after {seconds:.0f} s: every program runs, but {settings.edge_url}/readyz {answer}."
    who = "; ".join(f"{state.name} is {state.state} ({state.description})" for state in down)
    return f"Not ready after {seconds:.0f} s: {who}."


def log_excerpt(name: str, lines: list[str]) -> str:
    return "\n".join([f"The end of {name}.log:", *(f"  {line}" for line in lines or ["(nothing)"])])


def shown(path: Path) -> str:
    """The path relative to the working directory, when it is below."""
    here = Path.cwd()
    return f"./{path.relative_to(here)}" if path.is_relative_to(here) else str(path)
