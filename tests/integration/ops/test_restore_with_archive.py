"""A backup of a log that was cut, restored beside its archive with one command."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import orjson

from tests.integration.projector.archive.test_archive import command, eventually_archived, messages_of, run
from tests.support.conditions import eventually
from tests.support.nats_server import GuardedNatsServer
from tests.support.projector_environment import projector_environment
from tests.support.services import Projector
from tollgate.archive.folder import open_archive
from tollgate.archive.manifest import MESSAGES_FILE
from tollgate.archive.whole_log import whole_log
from tollgate.contract.events import ProviderName
from tollgate.contract.read_model_api import SummaryQuestion, Total
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_snapshot import delete_log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.messaging.stored_message import StoredMessage
from tollgate.ops.backup import ACCOUNT_FILE


async def read_with(broker: Broker, archive: Path) -> list[StoredMessage]:
    log = await broker.log_state(timeout_seconds=5)
    whole = await whole_log(broker, archive)
    return [one async for batch in whole.stretch(1, log.last_sequence) for one in batch]


async def totals(broker: Broker) -> dict[ProviderName, Total] | None:
    try:
        return (await ReadModel(broker).summary(SummaryQuestion(), timeout_seconds=10)).totals
    except ReadModelUnavailableError:
        return None


async def test_a_backup_of_a_cut_log_is_restored_beside_its_archive(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    archive, copy = first / "archive", second / "archive"
    async with projector_environment(first, ARCHIVE_DIR=str(archive)) as made:
        for number in range(6):
            await made.pay(100 + number)
        early = await command(made, "tollgate", "backup", str(tmp_path / "early"))
        assert early.status == 0, early.errors
        for number in range(3):
            await made.pay(200 + number)
        await eventually_archived(made, "--messages-max", "6")
        cut = await command(made, "tollgate", "archive", "--cut")
        assert cut.status == 0, cut.errors
        await made.pay(7)
        partial = await run("tollgate", "backup", str(tmp_path / "partial"), variables=made.variables)
        assert (partial.status, "it begins at 25, and what was before is not counted" in partial.line) == (1, True)
        late = await command(made, "tollgate", "backup", str(tmp_path / "late"), "--check")
        assert (late.status, late.output.count("10 payments settled")) == (0, 2), late.errors
        head = open_archive(archive).head
        assert orjson.loads((tmp_path / "late" / ACCOUNT_FILE).read_bytes())["archive"]["head"] == head
        for arguments in (("tollgate", "status", "--json"), ("projector", "status")):
            assert head in (await command(made, *arguments)).output
        before, whole = await messages_of(made, archived=True), await totals(made.operator)
    shutil.copytree(archive, copy)

    with ExitStack() as stack:
        server = stack.enter_context(GuardedNatsServer(second / "nats"))
        await server.ready()
        variables = {"NATS_URL": server.url("operator"), "DATA_DIR": str(second)}
        refused = await run("tollgate", "restore", str(tmp_path / "late"), variables=variables)
        assert (refused.status, "set ARCHIVE_DIR to it" in refused.line) == (1, True), refused.line
        variables["ARCHIVE_DIR"] = str(copy)
        async with Broker(server.url("operator"), name="operator") as broker:
            await _is_refused_what_does_not_fit(tmp_path, copy, variables)
            restored = await run("tollgate", "restore", str(tmp_path / "late"), variables=variables)
            assert (restored.status, "10 payments settled" in restored.line) == (0, True), restored.errors
            assert await read_with(broker, copy) == before
            projector = stack.enter_context(Projector(server.url("projector"), second, ARCHIVE_DIR=str(copy)))

            async def is_built() -> bool:
                return await totals(broker) == whole

            await eventually(is_built, what="the read model is built from archive and stream", timeout_seconds=60)
            assert projector.stop() == 0

            # The older backup, without what was archived since.
            await delete_log(broker)
            restored = await run(
                "tollgate", "restore", "--set-aside-later", str(tmp_path / "early"), variables=variables
            )
            assert restored.status == 0, restored.errors
            assert await read_with(broker, copy) == before[:18]
            assert [one.name for one in (copy / "later-than-18").iterdir()] == [f"{19:019d}"]


async def _is_refused_what_does_not_fit(backups: Path, archive: Path, variables: dict[str, str]) -> None:
    """A changed byte, an archive that lacks its end, and one that is later than the backup."""

    async def refusal(backup: str) -> str:
        refused = await run("tollgate", "restore", str(backups / backup), variables=variables)
        assert refused.status == 1
        return refused.line

    path = archive / f"{7:019d}" / MESSAGES_FILE
    content = path.read_bytes()
    path.write_bytes(content[:99] + bytes([content[99] ^ 1]) + content[100:])
    assert f"{path} was changed" in await refusal("late")
    path.write_bytes(content)
    last = archive / f"{19:019d}"
    last.rename(backups / "kept")
    assert "is not the archive beside which" in await refusal("late")
    (backups / "kept").rename(last)
    assert "--set-aside-later" in await refusal("early")
