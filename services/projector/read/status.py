"""`projector status`: the lag of the read model, the open payments, and why they are not charged."""

from dataclasses import asdict

import click
import orjson

from tollgate.contract.clock_offset import clock_json
from tollgate.contract.read_model_health import Bounds, Report
from tollgate.contract.timestamps import format_us
from tollgate.messaging.charging_facts import ask_charging_and_read_model
from tollgate.messaging.connection import Broker
from tollgate.messaging.operator_command import CommandError, broker_for_command
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.messaging.read_model_lag import measure_lag
from tollgate.projector.read.inspection import changed_at_us, file_bytes
from tollgate.projector.read.readonly import ModelFile, idle_model_file, open_read_only
from tollgate.projector.settings import Settings
from tollgate.runtime.errors import BrokerError

ANSWER_SECONDS = 3.0


async def show_status(settings: Settings, bounds: Bounds, *, as_json: bool) -> int:
    """Prints the status. Returns the exit status. Raises CommandError when no projector answers."""
    try:
        async with broker_for_command(settings) as broker:
            report = await _report(broker)
    except (ReadModelUnavailableError, BrokerError) as error:
        raise CommandError(f"{error}; {_on_disk(settings)}") from None
    troubles = report.troubles(bounds)
    click.echo(as_json_text(report, troubles) if as_json else as_table(report, troubles))
    return 1 if troubles else 0


async def _report(broker: Broker) -> Report:
    read_model = ReadModel(broker)
    status = await read_model.status(timeout_seconds=ANSWER_SECONDS)
    log, lag = await measure_lag(broker, status, timeout_seconds=ANSWER_SECONDS)
    # Not the oldest of `status`: it may have ended long ago, where the read model is behind.
    facts, _ = await ask_charging_and_read_model(broker, read_model, timeout_seconds=ANSWER_SECONDS)
    is_of_this_log = status.log_identity == log.identity
    # By the broker's clock, like the ages.
    return Report(status, log.last_sequence, is_of_this_log, lag, broker.clock.now_us(), facts)


def _on_disk(settings: Settings) -> str:
    """A short description of the file on disk, for when no projector answers."""
    try:
        with idle_model_file(settings) as model:
            if model is None:
                return f"a projector has the read model in {settings.data_dir} open"
            return _describe(model)
    except CommandError as error:
        return str(error)


def _describe(model: ModelFile) -> str:
    with open_read_only(model.path) as connection:
        ((settled, rejected),) = connection.execute(
            "SELECT (SELECT count(*) FROM settled), (SELECT count(*) FROM rejected)"
        ).fetchall()
    return (
        f"the file on disk holds {settled} settled and {rejected} rejected payments as of position {model.position},"
        f" written at {format_us(changed_at_us(model.path))}, {file_bytes(model.path)} bytes"
    )


def as_json_text(report: Report, troubles: list[str]) -> str:
    """One JSON object; times are written as RFC 3339."""
    status = asdict(report.status)
    for name in ("committed_at_us", "started_at_us"):
        status[name.removesuffix("_us")] = format_us(status.pop(name))
    for name in ("oldest_open", "oldest_chargeable"):
        if (oldest := status[name]) is not None:
            oldest["age_seconds"] = report.seconds_since(oldest["stored_at_us"])
            for moment in ("accepted_at", "stored_at"):
                oldest[moment] = format_us(oldest.pop(f"{moment}_us"))
    oldest_doubt_us, clock = status.pop("oldest_doubt_us"), report.status.clock
    status["oldest_doubt_seconds"] = None if oldest_doubt_us is None else report.seconds_since(oldest_doubt_us)
    status["clock"] = None if clock is None else clock_json(clock)
    content = {
        "healthy": not troubles,
        "troubles": troubles,
        "log_end": report.log_end,
        "is_of_this_log": report.is_of_this_log,
        "lag_messages": report.lag.messages,
        "lag_seconds": round(report.lag.seconds, 3),
        "uptime_seconds": report.seconds_since(report.status.started_at_us),
        **status,
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()


def as_table(report: Report, troubles: list[str]) -> str:
    """A table with one line for each value."""
    status = report.status
    oldest = status.oldest_open
    lines = [
        ("health", "; ".join(troubles) or "fine"),
        ("position", f"{status.position} of {report.log_end}"),
        ("lag", f"{report.lag.messages} messages, {report.lag.seconds:.1f} s"),
        ("settled", f"{status.settled}"),
        ("rejected", f"{status.rejected}"),
        ("open", f"{status.pending} pending, {status.routed} routed, {status.in_doubt} in doubt"),
        (
            "oldest open",
            f"{oldest.correlation_id}, {report.seconds_since(oldest.stored_at_us):.1f} s" if oldest else "none",
        ),
        ("clock", f"{status.clock or 'not measured yet'}"),
        ("set aside", f"{status.poison_events} messages that are not valid, since start"),
        ("file", f"{status.file_bytes} bytes"),
        ("checkpoint", f"{status.committed_position}, at {format_us(status.committed_at_us)}"),
        ("archive", f"{status.archive or 'none'}"),
        ("uptime", f"{report.seconds_since(status.started_at_us):.0f} s"),
    ]
    return "\n".join(f"{name:<12} {value}" for name, value in lines)
