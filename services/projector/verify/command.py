"""`projector verify`: compares the read model with the log, and the log with both providers' records.

Payments continue meanwhile: everything is compared as of one position of the log, and the provider records up to a time
shortly before it.
"""

import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import duckdb
import orjson

from tollgate.archive.whole_log import WholeLog, check_complete, whole_log
from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.expected_ledger import Unfinished
from tollgate.contract.money import format_cents
from tollgate.contract.read_model_api import SummaryQuestion, Total
from tollgate.contract.timestamps import MICROSECONDS, format_us, now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import REQUEST_SECONDS, Unread
from tollgate.messaging.operator_command import CommandError, broker_for_command
from tollgate.messaging.read_model_client import ReadModel
from tollgate.projector.live.files import index_of
from tollgate.projector.read.readonly import ModelFile, first_line, idle_model_file, model_file
from tollgate.projector.settings import Settings, VerifySettings
from tollgate.projector.verify.differences import Difference, Differences
from tollgate.projector.verify.index_comparison import IndexComparison
from tollgate.projector.verify.last_verification import LastVerification, VerificationRecord
from tollgate.projector.verify.log_tables import LedgerTables, Window
from tollgate.projector.verify.provider_records import ProviderRecords, ProviderRecordsUnreadableError
from tollgate.projector.verify.reconciliation import Reconciliation

SETTLE_US = 2 * MICROSECONDS
"""An attempt whose stamp is older than a second is in the log or is never sent; doubled for clocks that differ."""
EARLIEST_US = 946_684_800 * MICROSECONDS
"""The year 2000: the lower bound of a window without one, for providers that accept no open window."""
LATEST_US = 253_402_300_799 * MICROSECONDS
UNREADABLE = "missing in the log"
SUMMARY_DIFFERS = "the summary differs from the log"
SUMMARY_SECONDS = 10.0
OPEN_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's options. None leaves that side of the window open."""

    from_us: int | None = None
    to_us: int | None = None
    every_payment: bool = False
    differences_max: int = 100


@dataclass(slots=True)
class Outcome:
    """What was compared, and the findings."""

    position: int
    window: Window
    differences: Differences
    log: dict[ProviderName, Total] = field(default_factory=dict)
    model: dict[ProviderName, Total] = field(default_factory=dict)
    provider_records: dict[ProviderName, Total] = field(default_factory=dict)
    rejected: tuple[int, int] = (0, 0)
    """Counts in the log and in the read model."""
    open: list[Unfinished] = field(default_factory=list)
    charged_since: list[str] = field(default_factory=list)
    poison_events: int = 0
    questions: int = 0
    archive_head: str | None = None
    """The digest of the archive's last manifest; None without an archive."""


async def show_verification(settings: Settings, asking: VerifySettings, options: Options, *, as_json: bool) -> int:
    """Prints the outcome. Returns the exit status. Raises CommandError and BrokerError when nothing can be compared."""
    try:
        outcome = await verify(settings, asking, options)
    except ProviderRecordsUnreadableError as error:
        raise CommandError(str(error)) from None
    except duckdb.Error as error:
        # DuckDB has a checksum for each block of a file, and names the block.
        raise CommandError(
            f"the read model in {settings.model_files.folder} cannot be read: {first_line(error)}"
        ) from None
    if outcome.differences.count or (options.from_us is None and options.to_us is None):
        # A part of the time that has no differences does not settle what was found before.
        found = LastVerification(now_us(), outcome.differences.count)
        VerificationRecord(settings.model_files.folder).write(found)
    click.echo(as_json_text(outcome) if as_json else as_table(outcome))
    return 1 if outcome.differences.count else 0


async def verify(settings: Settings, asking: VerifySettings, options: Options) -> Outcome:
    """Compares all three.

    Raises CommandError, ProviderRecordsUnreadableError, ReadModelUnavailableError and BrokerError.
    """
    began_us = now_us()
    # Opened before the read model is copied (verify/index_comparison.py).
    with closing(IndexComparison(index_of(settings.model_files.current))) as index:
        return await _verify(settings, asking, options, index, began_us=began_us)


async def _verify(
    settings: Settings, asking: VerifySettings, options: Options, index: IndexComparison, *, began_us: int
) -> Outcome:
    async with broker_for_command(settings) as broker, model_file(settings) as model:
        with tempfile.TemporaryDirectory() as temporary, closing(LedgerTables(model.path, Path(temporary))) as tables:
            state = await broker.log_state(timeout_seconds=REQUEST_SECONDS)
            await check_complete(broker, settings.archive_dir, state, missing_accepted=settings.log_missing_accepted)
            accepted = settings.log_missing_accepted
            log = await whole_log(broker, settings.archive_dir, missing_accepted=accepted)
            unread = await _read_log(log, tables, model)
            outcome = _compare_with_model(tables, model, options)
            index.compare(model, outcome.differences)
            for first, last in unread.stretches:
                outcome.differences.add(Difference(UNREADABLE, None, None, f"messages {first} to {last}"))
            outcome.archive_head = log.archive.head if log.archive is not None and log.archive.stretches else None
            final = Window(outcome.window.from_us, min(outcome.window.to_us, began_us - SETTLE_US))
            if final.from_us > final.to_us:
                raise CommandError("the window ends before it begins; nothing younger than two seconds is compared")
            await _compare_with_summary(broker, settings, tables, outcome, final)
            await _compare_with_provider_records(asking, tables, outcome, final, every_payment=options.every_payment)
    return outcome


async def _read_log(whole: WholeLog, tables: LedgerTables, model: ModelFile) -> Unread:
    """Folds the log up to the read model's position. Returns what could not be read, up to the log's end."""
    log = await whole.broker.log_state(timeout_seconds=REQUEST_SECONDS)
    mark = tables.log_mark()
    if (contradiction := mark.contradiction(log)) is not None:
        raise CommandError(f"{contradiction}; the read model is of another log than the broker's")
    unread = Unread()
    async for messages in whole.stretch(1, max(log.last_sequence, model.position), unread):
        at_mark = next((one for one in messages if one.sequence == mark.sequence), None)
        if at_mark is not None and (contradiction := mark.contradiction(log, at_mark.stored_at_us)) is not None:
            raise CommandError(f"{contradiction}; the read model is of another log than the broker's")
        tables.fold(one for one in messages if one.sequence <= model.position)
    return unread


def _compare_with_model(tables: LedgerTables, model: ModelFile, options: Options) -> Outcome:
    # The providers may still have records of charges that a purge declared void.
    earliest_us = options.from_us if options.from_us is not None else tables.purged_at_us
    window = Window(
        EARLIEST_US if earliest_us is None else earliest_us, LATEST_US if options.to_us is None else options.to_us
    )
    differences = Differences(options.differences_max)
    tables.compare_with_model(window, differences)
    return Outcome(
        model.position,
        window,
        differences,
        log={name: tables.log_total(name, window) for name in PROVIDERS},
        model={name: tables.model_total(name, window) for name in PROVIDERS},
        rejected=tables.rejected_counts(),
        open=list(tables.ledger.unfinished.values()),
        poison_events=tables.poison_events,
    )


async def _compare_with_summary(
    broker: Broker, settings: Settings, tables: LedgerTables, outcome: Outcome, window: Window
) -> None:
    """Compares the summary that clients get; skipped while an attempt in the window is open or without a projector."""
    attempts = [one.attempt for one in outcome.open if one.attempt is not None]
    with idle_model_file(settings) as idle:
        if idle is not None or any(one.attempt.requested_at_us in window for one in attempts):
            return
    question = SummaryQuestion(window.from_us, window.to_us)
    summary = await ReadModel(broker).summary(question, timeout_seconds=SUMMARY_SECONDS)
    for name in PROVIDERS:
        log = tables.log_total(name, window)
        if summary.totals[name] != log:
            detail = f"log {_total(log)}, summary {_total(summary.totals[name])}"
            outcome.differences.add(Difference(SUMMARY_DIFFERS, None, name, detail))


async def _compare_with_provider_records(
    asking: VerifySettings, tables: LedgerTables, outcome: Outcome, window: Window, *, every_payment: bool
) -> None:
    provider_records = ProviderRecords(
        asking.urls,
        asking.headers,
        token=asking.payment_processor_token,
        concurrency=asking.verify_concurrency,
        rate=asking.verify_questions_per_second,
    )
    try:
        reconciliation = Reconciliation(provider_records, tables, outcome.differences)
        outcome.provider_records = await reconciliation.compare(window, every_payment=every_payment)
    finally:
        await provider_records.close()
    outcome.log = {name: tables.log_total(name, window) for name in PROVIDERS}
    outcome.model = {name: tables.model_total(name, window) for name in PROVIDERS}
    outcome.window = window
    outcome.charged_since = reconciliation.charged_since
    outcome.questions = provider_records.questions


def as_table(outcome: Outcome) -> str:
    """The three sets of totals side by side, then a line for each difference."""
    lines = [
        f"As of position {outcome.position} of the log; charges requested from {format_us(outcome.window.from_us)}"
        f" to {format_us(outcome.window.to_us)}; {outcome.questions} requests to the providers.",
        "",
        f"{'':<10} {'log':>24} {'read model':>24} {'provider':>24}",
    ]
    for name in PROVIDERS:
        accounts = (_total(account[name]) for account in (outcome.log, outcome.model, outcome.provider_records))
        lines.append(f"{name:<10} " + " ".join(f"{one:>24}" for one in accounts))
    lines.append(f"{'rejected':<10} {outcome.rejected[0]:>24} {outcome.rejected[1]:>24}")
    lines += ["", *_open_lines(outcome)]
    if outcome.archive_head is not None:
        lines.append(f"The head of the archive is {outcome.archive_head}.")
    if outcome.poison_events:
        lines.append(f"{outcome.poison_events} messages of the log are not valid; they are counted nowhere.")
    if not outcome.differences.count:
        return "\n".join([*lines, "No differences."])
    lines.append(f"Differences: {outcome.differences.count}")
    lines += [f"  {one}" for one in outcome.differences.named]
    unnamed = outcome.differences.count - len(outcome.differences.named)
    return "\n".join([*lines, *([f"  and {unnamed} more (--differences-max)"] if unnamed else [])])


def as_json_text(outcome: Outcome) -> str:
    """One JSON object; amounts in cents."""
    content = {
        "equal": outcome.differences.count == 0,
        "position": outcome.position,
        "from": format_us(outcome.window.from_us),
        "to": format_us(outcome.window.to_us),
        **{
            account: {name: asdict(totals[name]) for name in PROVIDERS}
            for account, totals in (
                ("log", outcome.log),
                ("read_model", outcome.model),
                ("processors", outcome.provider_records),
            )
        },
        "rejected": {"log": outcome.rejected[0], "read_model": outcome.rejected[1]},
        "open": {
            "count": len(outcome.open),
            "in_doubt": _in_doubt(outcome),
            "charged_since": len(outcome.charged_since),
            "oldest": [_open_fields(one) for one in outcome.open[:OPEN_SHOWN_MAX]],
        },
        "messages_set_aside": outcome.poison_events,
        **({} if outcome.archive_head is None else {"archive_head": outcome.archive_head}),
        "differences": outcome.differences.count,
        "by_kind": dict(outcome.differences.counts),
        "named": [asdict(one) for one in outcome.differences.named],
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()


def _open_lines(outcome: Outcome) -> Iterable[str]:
    if not outcome.open:
        return ["Nothing is open."]
    head = f"Open: {len(outcome.open)}, of them in doubt: {_in_doubt(outcome)}"
    since = f", charged and about to be recorded: {len(outcome.charged_since)}" if outcome.charged_since else ""
    shown = [
        f"  {one.request.correlation_id}, accepted {format_us(one.request.accepted_at_us)}"
        for one in outcome.open[:OPEN_SHOWN_MAX]
    ]
    more = [f"  and {len(outcome.open) - OPEN_SHOWN_MAX} more"] if len(outcome.open) > OPEN_SHOWN_MAX else []
    return [f"{head}{since}. The oldest:", *shown, *more]


def _open_fields(payment: Unfinished) -> dict[str, object]:
    return {
        "correlation_id": payment.request.correlation_id,
        "amount_cents": payment.request.amount_cents,
        "accepted_at": format_us(payment.request.accepted_at_us),
    }


def _in_doubt(outcome: Outcome) -> int:
    return sum(1 for one in outcome.open if one.attempt is not None and one.attempt.in_doubt)


def _total(total: Total) -> str:
    return f"{total.count}  {format_cents(total.amount_cents)}"
