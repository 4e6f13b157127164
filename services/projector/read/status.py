"""`projector status`: the lag of the read model, the open payments, and why they are not charged."""

from dataclasses import asdict, dataclass

import click
import orjson

from tollgate.contract.clock_offset import clock_json
from tollgate.contract.log_mark import LogState
from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_MAX
from tollgate.contract.read_model_api import Status
from tollgate.contract.timestamps import MICROSECONDS, format_us
from tollgate.contract.waiting import DOUBT_SECONDS_MAX, OLDEST_SECONDS_MAX, ChargingFacts
from tollgate.messaging.charging_facts import age_seconds, as_waiting, ask_charging
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import message_at
from tollgate.messaging.operator_command import CommandError, broker_for_command
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector.read.inspection import changed_at_us, file_bytes
from tollgate.projector.read.readonly import ModelFile, idle_model_file, open_read_only
from tollgate.projector.settings import Settings
from tollgate.runtime.errors import BrokerError

ANSWER_SECONDS = 3.0
OPEN_LAG_SECONDS_MAX = 5.0
"""The open payments of a read model that is further behind are not reported."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the read model is behind the log. `seconds` is the age of the oldest event that it lacks."""

    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a good status."""

    lag_seconds_max: float = 5.0
    oldest_seconds_max: float = OLDEST_SECONDS_MAX
    doubt_seconds_max: float = DOUBT_SECONDS_MAX


@dataclass(frozen=True, slots=True)
class Report:
    """The projector's status compared with the log, and the state of charging."""

    status: Status
    log_end: int
    is_of_this_log: bool
    lag: Lag
    asked_at_us: int
    charging: ChargingFacts

    def troubles(self, bounds: Bounds) -> list[str]:
        """What is wrong; empty when nothing is."""
        found = [
            self._lag_trouble(bounds.lag_seconds_max),
            self._trouble_of_log(),
            self.status.log_fault,
            self.charging.trouble(bounds.oldest_seconds_max),
        ]
        doubt_us, clock = self.status.oldest_doubt_us, self.status.clock
        if doubt_us is not None and _seconds(self, doubt_us) > bounds.doubt_seconds_max:
            found.append(
                f"{self.status.in_doubt} payments are in doubt, the oldest for {_seconds(self, doubt_us):.0f} s:"
                " see `processor status`"
            )
        if clock is not None and clock.exceeds(CLOCK_OFFSET_SECONDS_MAX):
            found.append(f"the projector's clock is {clock}")
        return [trouble for trouble in found if trouble is not None]

    def _trouble_of_log(self) -> str | None:
        if self.is_of_this_log and self.status.position > self.log_end:
            return f"the log went back from {self.status.position} to {self.log_end}"
        return None

    def _lag_trouble(self, lag_seconds_max: float) -> str | None:
        if not self.is_of_this_log:
            return "the read model is of another log than the broker's"
        if self.lag.seconds <= lag_seconds_max:
            return None
        trouble = f"{self.lag.messages} messages behind, by more than {lag_seconds_max:g} s"
        if self.status.still_seconds > lag_seconds_max:
            trouble += f"; its position has not changed for {self.status.still_seconds:.0f} s"
        return trouble


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
    status = await ReadModel(broker).status(timeout_seconds=ANSWER_SECONDS)
    log = await broker.log_state(timeout_seconds=ANSWER_SECONDS)
    lag = await _lag(broker, status, log)
    # Payments that are open in a read model that is behind may have ended long ago: then only the queue is reported.
    oldest = status.oldest_chargeable if lag.seconds <= OPEN_LAG_SECONDS_MAX else None
    charging = await ask_charging(broker, as_waiting(broker, oldest))
    is_of_this_log = status.log_identity == log.identity
    # By the broker's clock, like the ages.
    return Report(status, log.last_sequence, is_of_this_log, lag, broker.clock.now_us(), charging)


async def _lag(broker: Broker, status: Status, log: LogState) -> Lag:
    messages = max(log.last_sequence - max(status.position, log.first_sequence - 1), 0)
    first_missing = await message_at(broker, max(status.position + 1, log.first_sequence)) if messages else None
    return Lag(messages, age_seconds(broker, first_missing.stored_at_us) if first_missing else 0.0)


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
            oldest["age_seconds"] = _seconds(report, oldest["stored_at_us"])
            for moment in ("accepted_at", "stored_at"):
                oldest[moment] = format_us(oldest.pop(f"{moment}_us"))
    oldest_doubt_us, clock = status.pop("oldest_doubt_us"), report.status.clock
    status["oldest_doubt_seconds"] = None if oldest_doubt_us is None else _seconds(report, oldest_doubt_us)
    status["clock"] = None if clock is None else clock_json(clock)
    content = {
        "healthy": not troubles,
        "troubles": troubles,
        "log_end": report.log_end,
        "is_of_this_log": report.is_of_this_log,
        "lag_messages": report.lag.messages,
        "lag_seconds": round(report.lag.seconds, 3),
        "uptime_seconds": _seconds(report, report.status.started_at_us),
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
            f"{oldest.correlation_id}, {_seconds(report, oldest.stored_at_us):.1f} s" if oldest else "none",
        ),
        ("clock", f"{status.clock or 'not measured yet'}"),
        ("set aside", f"{status.poison_events} messages that are not valid, since start"),
        ("file", f"{status.file_bytes} bytes"),
        ("checkpoint", f"{status.committed_position}, at {format_us(status.committed_at_us)}"),
        ("uptime", f"{_seconds(report, status.started_at_us):.0f} s"),
    ]
    return "\n".join(f"{name:<12} {value}" for name, value in lines)


def _seconds(report: Report, moment_us: int) -> float:
    return round(max(report.asked_at_us - moment_us, 0) / MICROSECONDS, 3)
