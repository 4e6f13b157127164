"""`projector verify` with a real log, read model and provider records, and every kind of difference in them."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import duckdb
import orjson
import pytest
import pytest_asyncio

from tests.support import forked
from tests.support.broken_log import change_byte
from tests.support.forked import BIN
from tests.support.projector_environment import ProjectorEnvironment, projector_environment
from tollgate.contract.events import (
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.read_model_api import Total
from tollgate.contract.timestamps import format_us, now_us
from tollgate.messaging.operator_command import CommandError
from tollgate.messaging.read_model_client import ReadModel
from tollgate.projector.live.files import index_of
from tollgate.projector.verify import reconciliation
from tollgate.projector.verify.command import SETTLE_US, Options, Outcome, show_verification, verify
from tollgate.projector.verify.index_comparison import INDEX_DAMAGED, INDEX_DIFFERS
from tollgate.projector.verify.last_verification import LastVerification, VerificationRecord

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProjectorEnvironment]:
    """One environment; each test looks at a stretch of time of its own."""
    async with projector_environment(tmp_path_factory.mktemp("projector"), config="nats-purge.conf") as made:
        yield made


class Stretch:
    """The time from here to the moment of asking, and what is found in it."""

    def __init__(self, shared: ProjectorEnvironment) -> None:
        self.environment = shared
        self.from_us = shared.stamp()

    async def verify(self, **options: object) -> Outcome:
        to_us = self.environment.stamp()
        chosen = Options(self.from_us, to_us, **options)  # type: ignore[arg-type]
        return await verify(self.environment.settings, self.environment.asking, chosen)


@pytest.fixture
def stretch(shared: ProjectorEnvironment) -> Stretch:
    return Stretch(shared)


def found(outcome: Outcome) -> list[tuple[str, str | None, str | None]]:
    return sorted((one.what, one.correlation_id, one.provider) for one in outcome.differences.named)


async def test_what_is_as_it_should_be_is_equal(stretch: Stretch) -> None:
    for cents in (1, 1_990, 100_000_000_000):
        await stretch.environment.pay(cents)
    await stretch.environment.pay(50, "fallback")
    outcome = await stretch.verify(every_payment=True)
    assert found(outcome) == []
    expected = {"default": Total(3, 100_000_001_991), "fallback": Total(1, 50)}
    assert outcome.log == outcome.model == outcome.provider_records == expected


async def test_what_was_found_is_recorded_and_a_part_of_the_time_does_not_settle_it(
    stretch: Stretch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = stretch.environment
    record = VerificationRecord(made.settings.model_files.folder)

    async def recorded(options: Options) -> LastVerification:
        await show_verification(made.settings, made.asking, options, as_json=False)
        assert capsys.readouterr().out
        seen = record.read()
        assert seen is not None
        return seen

    await made.charge(str(uuid4()), "fallback", 1_990, made.stamp())
    until_us = made.stamp()
    differs = await recorded(Options(stretch.from_us, until_us))
    assert differs.differences == 1
    assert await recorded(Options(until_us, made.stamp())) == differs
    # Everything is compared, with what the other tests left.
    later = await recorded(Options())
    assert later.ended_at_us > differs.ended_at_us
    assert later.differences >= 1


async def test_payments_whose_events_share_messages_are_equal_too(stretch: Stretch) -> None:
    await stretch.environment.pay_together([1, 20, 300])
    outcome = await stretch.verify(every_payment=True)
    assert found(outcome) == []
    assert outcome.log["default"] == outcome.model["default"] == outcome.provider_records["default"] == Total(3, 321)


async def test_a_charge_missing_in_the_log_is_reported_by_its_time_and_amount(stretch: Stretch) -> None:
    await stretch.environment.pay(100)
    stamp_us = stretch.environment.stamp()
    await stretch.environment.charge(str(uuid4()), "fallback", 1_990, stamp_us)
    await stretch.environment.pay(100)
    outcome = await stretch.verify()
    assert found(outcome) == [(reconciliation.TOTALS_DIFFER, None, "fallback")]
    detail = outcome.differences.named[0].detail
    assert detail.startswith("+1 charges, +19.90, requested from ")
    assert format_us(stamp_us)[:22] in detail, "to the millisecond"


async def test_a_payment_charged_at_both_processors_is_named(stretch: Stretch) -> None:
    """The log knows of an attempt at the other processor, as it does when a gateway charges twice."""
    correlation_id, stamp_us = str(uuid4()), stretch.environment.stamp()
    await stretch.environment.append(
        PaymentRequested(correlation_id, 700, now_us()),
        PaymentRouted(correlation_id, 700, 1, "fallback", stamp_us, "test"),
        PaymentReleased(correlation_id, 1, "fallback", "test"),
    )
    await stretch.environment.charge(correlation_id, "fallback", 700, stamp_us)
    later_us = stretch.environment.stamp()
    await stretch.environment.charge(correlation_id, "default", 700, later_us)
    await stretch.environment.record(correlation_id, "default", 700, later_us)
    outcome = await stretch.verify()
    # The log's attempt 1 was released, so the one of `record` is void, and its outcome is not.
    assert found(outcome) == [(reconciliation.CHARGED_TWICE, correlation_id, "fallback")]


async def test_a_second_charge_that_no_attempt_explains_is_named_when_every_payment_is_looked_up(
    stretch: Stretch,
) -> None:
    correlation_id = await stretch.environment.pay(800)
    await stretch.environment.charge(correlation_id, "fallback", 800, stretch.environment.stamp())
    outcome = await stretch.verify(every_payment=True)
    assert found(outcome) == [(reconciliation.CHARGED_TWICE, correlation_id, "fallback")]
    assert found(await stretch.verify()) == [(reconciliation.TOTALS_DIFFER, None, "fallback")]


async def test_a_payment_that_its_processor_does_not_have_is_named(stretch: Stretch) -> None:
    for _ in range(3):
        await stretch.environment.pay(100)
    correlation_id = str(uuid4())
    await stretch.environment.record(correlation_id, "default", 900, stretch.environment.stamp())
    for _ in range(30):
        await stretch.environment.pay(100)
    outcome = await stretch.verify()
    assert found(outcome) == [(reconciliation.MISSING_AT_PROVIDER, correlation_id, "default")]


async def test_other_amounts_and_other_stamps_at_the_processor_are_named(stretch: Stretch) -> None:
    more_expensive, later = str(uuid4()), str(uuid4())
    stamp_us = stretch.environment.stamp()
    await stretch.environment.charge(more_expensive, "default", 101, stamp_us)
    await stretch.environment.record(more_expensive, "default", 100, stamp_us)
    first_us, second_us = stretch.environment.stamp(), stretch.environment.stamp()
    await stretch.environment.charge(later, "fallback", 100, first_us)
    await stretch.environment.record(later, "fallback", 100, second_us)
    assert found(await stretch.verify()) == [(reconciliation.OTHER_AMOUNT, more_expensive, "default")]
    # Inside one window another stamp leaves the totals as they are.
    assert found(await stretch.verify(every_payment=True)) == sorted(
        [(reconciliation.OTHER_AMOUNT, more_expensive, "default"), (reconciliation.OTHER_STAMP, later, "fallback")]
    )


async def test_a_rejected_payment_with_a_charge_is_named(stretch: Stretch) -> None:
    correlation_id, stamp_us = str(uuid4()), stretch.environment.stamp()
    await stretch.environment.append(
        PaymentRequested(correlation_id, 300, now_us()),
        PaymentRouted(correlation_id, 300, 1, "default", stamp_us, "test"),
        PaymentRejected(correlation_id, 300, "test"),
    )
    await stretch.environment.charge(correlation_id, "default", 300, stamp_us)
    outcome = await stretch.verify()
    assert found(outcome) == [(reconciliation.CHARGED_THOUGH_REJECTED, correlation_id, "default")]


async def test_an_open_payment_charged_by_an_attempt_that_was_released_is_named(stretch: Stretch) -> None:
    correlation_id, stamp_us = str(uuid4()), stretch.environment.stamp()
    await stretch.environment.append(
        PaymentRequested(correlation_id, 300, now_us()),
        PaymentRouted(correlation_id, 300, 1, "default", stamp_us, "test"),
        PaymentReleased(correlation_id, 1, "default", "test"),
    )
    await stretch.environment.charge(correlation_id, "default", 300, stamp_us)
    outcome = await stretch.verify()
    assert found(outcome) == [(reconciliation.CHARGED_THOUGH_RELEASED, correlation_id, "default")]


async def test_an_open_payment_that_is_charged_already_is_no_difference(stretch: Stretch) -> None:
    correlation_id, stamp_us = str(uuid4()), stretch.environment.stamp()
    await stretch.environment.append(
        PaymentRequested(correlation_id, 300, now_us()),
        PaymentRouted(correlation_id, 300, 1, "default", stamp_us, "test"),
        PaymentInDoubt(correlation_id, 1, "default", "test"),
    )
    await stretch.environment.charge(correlation_id, "default", 300, stamp_us)
    outcome = await stretch.verify()
    assert found(outcome) == []
    assert outcome.charged_since == [correlation_id]
    assert correlation_id in [one.request.correlation_id for one in outcome.open]


async def test_rows_that_the_file_lacks_holds_twice_or_holds_otherwise_are_named(stretch: Stretch) -> None:
    lost, twice, changed = [await stretch.environment.pay(cents) for cents in (10, 20, 30)]
    invented, stamp_us = str(uuid4()), stretch.environment.stamp()
    await stretch.verify()
    projector = stretch.environment.projector
    projector.stop()
    with duckdb.connect(str(projector.model_path)) as model:
        model.execute("CREATE TABLE kept AS SELECT * FROM settled")
        model.execute("DELETE FROM settled WHERE correlation_id = ?", [lost])
        model.execute("INSERT INTO settled SELECT * FROM settled WHERE correlation_id = ?", [twice])
        model.execute("UPDATE settled SET amount_cents = 31 WHERE correlation_id = ?", [changed])
        model.execute(
            "INSERT INTO settled SELECT * REPLACE (? AS correlation_id, ? AS requested_at_us) FROM settled LIMIT 1",
            [invented, stamp_us],
        )
    try:
        outcome = await stretch.verify()
    finally:
        with duckdb.connect(str(projector.model_path)) as model:
            model.execute("DELETE FROM settled")
            model.execute("INSERT INTO settled SELECT * FROM kept")
            model.execute("DROP TABLE kept")
        projector.start()
        await stretch.environment.answering()
    assert found(outcome) == sorted(
        [
            ("missing in the read model", lost, None),
            ("more than once in the read model", twice, None),
            ("differs in the read model", changed, None),
            ("in the read model, and not in the log", invented, None),
            # The index of ids has what the rows were before.
            *((INDEX_DIFFERS, one, None) for one in (lost, changed, invented)),
        ]
    )
    assert found(await stretch.verify()) == []


async def test_payments_that_go_on_meanwhile_are_no_differences(stretch: Stretch) -> None:
    """In the order of a processor: the intent, the charge, the outcome; each verification meets some in between."""

    async def pay_on() -> None:
        while True:
            correlation_id, stamp_us = str(uuid4()), now_us()
            requested = PaymentRequested(correlation_id, 11, stamp_us)
            await stretch.environment.append(
                requested, PaymentRouted(correlation_id, 11, 1, "default", stamp_us, "test")
            )
            await stretch.environment.charge(correlation_id, "default", 11, stamp_us)
            await stretch.environment.append(PaymentProcessed(correlation_id, 11, 1, "default", stamp_us, now_us()))

    # Behind the moments of the other tests, and before those that are too young to be looked at.
    began_us = now_us() - 10_000_000
    paying = [asyncio.create_task(pay_on()) for _ in range(3)]
    try:
        async with asyncio.timeout(60):
            counts: list[int] = []
            # Until payments of this test are old enough to be looked at.
            while len(counts) < 3 or not counts[-1]:
                outcome = await verify(stretch.environment.settings, stretch.environment.asking, Options(began_us))
                assert found(outcome) == []
                counts.append(outcome.provider_records["default"].count)
    finally:
        for one in paying:
            one.cancel()
        await asyncio.gather(*paying, return_exceptions=True)


async def test_what_a_purge_declared_void_is_not_compared(stretch: Stretch) -> None:
    await stretch.environment.pay(100)
    before_us = now_us()
    await stretch.environment.purge()
    outcome = await stretch.verify()
    assert (outcome.log, outcome.model) == ({"default": Total(), "fallback": Total()},) * 2
    assert outcome.provider_records["default"] == Total(1, 100), (
        "the processor was not purged, and this window was asked for"
    )
    # Without a window it begins at the purge; there is nothing old enough to be looked at yet.
    with pytest.raises(CommandError, match="nothing younger than two seconds is compared"):
        await verify(stretch.environment.settings, stretch.environment.asking, Options())
    await stretch.environment.record(str(uuid4()), "default", 1, before_us + 1)
    await asyncio.sleep(max(0, before_us + SETTLE_US + 500_000 - now_us()) / 1_000_000)
    since = await verify(stretch.environment.settings, stretch.environment.asking, Options())
    assert since.window.from_us > before_us
    assert found(since) == []


async def test_more_differences_than_are_named_are_counted(stretch: Stretch) -> None:
    for cents in range(1, 6):
        await stretch.environment.record(str(uuid4()), "default", cents, stretch.environment.stamp())
    outcome = await stretch.verify(differences_max=2)
    assert (len(outcome.differences.named), outcome.differences.count) == (2, 5)


async def test_the_exit_status_is_1_for_differences_and_2_when_nothing_can_be_compared(stretch: Stretch) -> None:
    await stretch.environment.pay(5)
    window = ["--from", format_us(stretch.from_us), "--to", format_us(stretch.environment.stamp())]

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        env = {**stretch.environment.variables, **environment}
        return forked.run([str(BIN / "projector"), "verify", "--json", *window], env=env)

    await stretch.environment.charge(str(uuid4()), "default", 5, stretch.from_us + 1)
    differs = run()
    assert (differs.returncode, orjson.loads(differs.stdout)["differences"]) == (1, 1)
    untold = run(PAYMENT_PROCESSOR_URL_DEFAULT="http://127.0.0.1:1")
    assert (untold.returncode, untold.stdout, untold.stderr.count("\n")) == (2, "", 1)
    assert "default at http://127.0.0.1:1 gives no answer to /admin/payments-summary" in untold.stderr


async def test_a_changed_byte_of_the_index_of_ids_is_found_with_its_page_and_its_payment(stretch: Stretch) -> None:
    ids = sorted([await stretch.environment.pay(10) for _ in range(3)])
    await stretch.verify()
    projector = stretch.environment.projector
    projector.stop()
    path = index_of(projector.model_path)
    content = path.read_bytes()
    damaged = UUID(ids[1]).bytes
    place = content.index(damaged)
    path.write_bytes(content[:place] + bytes([damaged[0], damaged[1] ^ 1]) + content[place + 2 :])
    try:
        outcome = await stretch.verify()
    finally:
        projector.start()
        await stretch.environment.answering()
    assert (INDEX_DIFFERS, ids[1], None) in found(outcome)
    (damage,) = [one for one in outcome.differences.named if one.what == INDEX_DAMAGED]
    assert f"its page {place // 4_096 + 1}, from byte {place // 4_096 * 4_096} on" in damage.detail
    # The running projector does not take it for a new payment, and its next start writes the index anew.
    known = await ReadModel(stretch.environment.operator).payment(ids[1], timeout_seconds=10)
    assert known is not None
    assert known.state == "processed"
    projector.stop()
    projector.start()
    await stretch.environment.answering()
    assert found(await stretch.verify()) == []


async def test_a_read_model_with_a_changed_byte_is_built_again(stretch: Stretch) -> None:
    await stretch.environment.pay(10)
    before = await stretch.verify()
    projector = stretch.environment.projector
    projector.stop()
    with duckdb.connect(str(projector.model_path)) as model:
        model.execute("CHECKPOINT")
    content = projector.model_path.read_bytes()
    place = content.index(b"default")
    projector.model_path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(CommandError, match=r"computed checksum \d+ does not match stored checksum \d+ in block"):
        await show_verification(stretch.environment.settings, stretch.environment.asking, Options(), as_json=False)
    projector.start()
    await stretch.environment.answering()
    after = await stretch.verify()
    assert (after.model, found(after)) == (before.model, [])
    assert "rebuilding it from the log" in projector.log.read_text()


async def test_a_changed_byte_of_the_log_is_found(tmp_path: Path) -> None:
    async with projector_environment(tmp_path) as own:
        ids = [await own.pay(10) for _ in range(3)]
        own.server.stop()
        change_byte(own.server.store, b'{"type":"PaymentProcessed","version":1,"correlationId":"%b"' % ids[1].encode())
        own.server.start()
        await own.server.ready()
        await own.answering()
        outcome = await verify(own.settings, own.asking, Options())
        kinds = {one.what: one.detail for one in outcome.differences.named}
        assert kinds["missing in the log"] == "messages 6 to 6"
