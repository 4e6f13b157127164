"""The page in a real browser on a whole stack: each view, faults of the stack one after the other, and axe.

One stack and one browser serve all tests; each test ends the fault that it began.
"""

import asyncio
import contextlib
import re
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.ports import free_port
from tests.support.stack import Stack
from tollgate.console.access import COOKIE
from tollgate.stack.credentials import ensure_credentials
from tollgate.stack.programs import MEASURED

CHROMIUM = Path("/usr/bin/chromium")
SEEN_MS_MAX = 20_000
LOOKS: Mapping[str, tuple[str, int]] = {"light": ("light", 1_180), "dark": ("dark", 1_180), "phone": ("light", 390)}
TOKEN = "a-token-of-sixteen-characters"  # noqa: S105 - of this test only

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    # A short patience, so that payments soon leave a provider that is down.
    environment = {"TOLLGATE_CONSOLE": "true", "PROCESSOR_PATIENCE_SECONDS": "1"}
    async with Stack(tmp_path_factory.mktemp("console") / "data", environment=environment) as stack:
        async with aiohttp.ClientSession() as session:
            await eventually(
                lambda: _answers(session, f"{stack.settings.console_url}/livez"), what="the console listens"
            )
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, stack: Stack) -> AsyncIterator[Page]:
    """The page, live."""
    async with opened(browser, stack.settings.console_url) as page:
        yield page


@contextlib.asynccontextmanager
async def opened(browser: Browser, address: str, look: str = "light") -> AsyncIterator[Page]:
    scheme, width = LOOKS[look]
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 900}
    )
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(address)
    await sees(page, "#connection", "Live")
    yield page
    assert not faults
    await context.close()


async def sees(page: Page, selector: str, text: str) -> None:
    await expect(page.locator(selector)).to_contain_text(text, timeout=SEEN_MS_MAX)


async def pay(stack: Stack, amount: Decimal = Decimal("19.90")) -> str:
    correlation_id = str(uuid.uuid4())
    async with aiohttp.ClientSession() as session:
        content = {"correlationId": correlation_id, "amount": float(amount)}
        async with session.post(f"{stack.url}/payments", json=content) as response:
            assert response.status == 202
    return correlation_id


@contextlib.asynccontextmanager
async def paying(stack: Stack) -> AsyncIterator[None]:
    """Pays a few times a second."""

    async def pay_on() -> None:
        while True:
            await pay(stack)
            await asyncio.sleep(0.2)

    payer = asyncio.create_task(pay_on())
    try:
        yield
        assert not payer.done(), payer.exception()
    finally:
        payer.cancel()


@contextlib.asynccontextmanager
async def provider(
    stack: Stack, path: str, begin: Mapping[str, object], end: Mapping[str, object]
) -> AsyncIterator[None]:
    """Changes the provider `default`, and changes it back."""

    async def change(values: Mapping[str, object]) -> None:
        address = f"{stack.simulator_urls[0]}/admin/{path}"
        async with aiohttp.ClientSession(headers={"X-Rinha-Token": "123"}) as session:
            response = await session.put(address, json=values)
            assert response.status == 200

    await change(begin)
    try:
        yield
    finally:
        await change(end)


@contextlib.asynccontextmanager
async def stopped(stack: Stack, program: str) -> AsyncIterator[None]:
    await asyncio.to_thread(stack.kill, program, signal.SIGSTOP)
    try:
        yield
    finally:
        await asyncio.to_thread(stack.kill, program, signal.SIGCONT)


async def money(page: Page) -> list[Decimal]:
    """Charged, fees paid, fees saved, profit: of one message."""
    read = "['charged', 'fees-paid', 'fees-saved', 'profit'].map((id) => document.getElementById(id).textContent)"
    return [Decimal(text.replace(",", "")) for text in await page.evaluate(read)]


async def check_accessible(page: Page) -> None:
    """No violation of axe's rules, and nothing that is cut off at the side."""
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert await page.evaluate(_CUT_OFF) == []


_CUT_OFF = """
document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("*")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth)
  .map((one) => `${one.tagName}#${one.id}.${one.className}: ${one.getBoundingClientRect().right} of ${innerWidth}`)
"""


async def test_payments_are_seen_to_flow_with_their_provider_and_money(page: Page, stack: Stack) -> None:
    await sees(page, "#headline", "All is quiet")
    async with paying(stack):
        await sees(page, "#headline", "Money is flowing to default")
        await expect(page).to_have_title(re.compile(r"^\d.*/s · Tollgate"), timeout=SEEN_MS_MAX)
        await sees(page, "#provider-default .big", "100 % of the last minute")
        await sees(page, "#provider-default", "working, breaker closed")
        await sees(page, "#provider-default", "5.0 %")
        await sees(page, "#queue-state", "usual pace")
        # Legends have the newest values of the charts.
        await expect(page.locator("#value-p99_ms")).to_have_text(re.compile(r"\d"), timeout=SEEN_MS_MAX)
    charged, fees, saved, profit = await money(page)
    assert charged > 0
    assert profit == charged - fees
    assert abs(fees - charged * Decimal("0.05")) <= Decimal("0.01")
    assert abs(saved - charged * Decimal("0.10")) <= Decimal("0.01")
    for name in ("broker", "gateway-1", "gateway-2", "processor", "projector"):
        await expect(page.locator("#programs tr", has_text=name)).to_contain_text("answers")


async def test_a_payment_is_found_by_its_id_with_its_timeline_and_the_decision_explained(
    page: Page, stack: Stack
) -> None:
    correlation_id = await pay(stack)
    await page.get_by_label("Payment id").fill(correlation_id)
    await page.keyboard.press("Enter")
    await sees(page, "#payment", "19.90 is")
    await sees(page, "#payment", "Attempt 1: routed to default")
    await sees(page, "#payment", "Both providers could take it.")
    # Its address can be sent to a colleague.
    await page.goto(page.url)
    await page.reload()
    await sees(page, "#payment", "Attempt 1: charged at default")


async def test_an_unknown_payment_and_a_text_that_is_no_id_are_refused_in_words(page: Page) -> None:
    for text, answer in ((str(uuid.uuid4()), "was requested"), ("x", "must be a UUID")):
        await page.get_by_label("Payment id").fill(text)
        await page.keyboard.press("Enter")
        await sees(page, "#payment", answer)


async def test_a_window_dragged_on_the_chart_is_summarised(page: Page, stack: Stack) -> None:
    await pay(stack)
    over = page.locator("#chart-rates .u-over")
    await over.scroll_into_view_if_needed()
    box = await over.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 40, box["y"] + 40)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 60, steps=5)
    await page.mouse.up()
    await sees(page, "#summary", "ettled: ")
    assert await page.get_by_label("From").input_value() != ""


async def test_by_keyboard_the_time_shown_is_summarised_and_again_as_of_an_earlier_moment(page: Page) -> None:
    await page.get_by_role("button", name="Hour").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Hour")).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Summary of the time shown").focus()
    await page.keyboard.press("Enter")
    await sees(page, "#summary", "Settled: no attempt of this time is open.")
    together = await page.locator("#summary .total").text_content()
    assert together is not None
    assert not together.startswith("together0 payments")
    await page.get_by_label("As of an earlier moment").fill("2026-01-01T00:00:00")
    await page.get_by_role("button", name="Summarise").focus()
    await page.keyboard.press("Enter")
    await sees(page, "#summary", "As it was then.")
    await sees(page, "#summary .total", "0 payments")


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_no_violation(browser: Browser, stack: Stack, look: str) -> None:
    correlation_id = await pay(stack)
    async with opened(browser, f"{stack.settings.console_url}/#payment={correlation_id}", look) as page:
        await sees(page, "#payment", "Attempt 1: routed")
        await page.get_by_role("button", name="Summarise").click()
        await sees(page, "#summary", "ettled: ")
        await check_accessible(page)


async def test_a_provider_that_is_down_is_named_and_so_is_where_payments_go(page: Page, stack: Stack) -> None:
    async with paying(stack):
        async with provider(stack, "configurations/failure", {"failure": True}, {"failure": False}):
            await sees(page, "#provider-default .state", "breaker open")
            await sees(page, "#headline", "to fallback")
            await sees(page, "#reason", "efault")
        await sees(page, "#provider-default .state", "working, breaker closed")
        await sees(page, "#headline", "to default")


async def test_a_doubt_is_shown_with_its_age_and_the_commands_that_resolve_it(browser: Browser, stack: Stack) -> None:
    """The answers are lost, and no lookup finds its way to the provider."""
    faults = {"lost_answer_ratio": 1.0, "lookup_no_route_ratio": 1.0}
    async with contextlib.AsyncExitStack() as exits:
        pages = [await exits.enter_async_context(opened(browser, stack.settings.console_url, look)) for look in LOOKS]
        async with provider(stack, "faults", faults, dict.fromkeys(faults, 0.0)):
            correlation_id = await pay(stack)
            for page in pages:
                await sees(page, "#doubts-title", "Payments in doubt: 1")
                await sees(page, "#doubts", f"tollgate processor resolve {correlation_id} --charged --note")
                await sees(page, "#doubts", f"tollgate processor resolve {correlation_id} --not-charged --note")
                await sees(page, "#doubts .age", "for ")
                await sees(page, "#reason", "1 in doubt, the oldest for")
                await check_accessible(page)
            await pages[0].get_by_role("button", name=correlation_id).click()
            await sees(pages[0], "#payment", "is in doubt")
        await expect(pages[0].locator("#doubts-card")).to_be_hidden(timeout=SEEN_MS_MAX)


async def test_a_rebuild_is_shown_while_it_runs(page: Page, stack: Stack) -> None:
    """With the projector stopped it has read the log, and waits to compare."""
    environment = {name: value for name, value in stack.environment.items() if name != "NATS_URL"}
    async with stopped(stack, "projector"):
        rebuilding = await asyncio.create_subprocess_exec(
            *(str(BIN / "projector"), "rebuild"), env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        await sees(page, "#progress-text", "compared with the live one")
        await sees(page, "#progress-share", "100 %")
        await sees(page, "#headline", "the projector did not answer in time")
    assert await asyncio.wait_for(rebuilding.wait(), 30) == 0
    await expect(page.locator("#progress")).to_be_hidden(timeout=SEEN_MS_MAX)


async def test_ten_pages_ask_the_projector_no_more_than_one(page: Page, stack: Stack) -> None:
    """`page` is open all the time."""
    metrics = f"http://127.0.0.1:{stack.settings.metrics_port + MEASURED.index('projector')}/metrics"
    count = 'tollgate_question_duration_seconds_count{question="status"}'

    async with aiohttp.ClientSession() as session:

        async def questions() -> float:
            async with session.get(metrics) as response:
                [line] = [line for line in (await response.text()).splitlines() if line.startswith(count)]
            return float(line.rpartition(" ")[2])

        async def asked_during(seconds: float) -> float:
            before = await questions()
            await asyncio.sleep(seconds)
            return await questions() - before

        async with contextlib.AsyncExitStack() as exits:
            streams = [
                await exits.enter_async_context(session.get(f"{stack.settings.console_url}/events")) for _ in range(9)
            ]
            for stream in streams:
                assert (await stream.content.readline()).startswith(b"data: ")
            # A question a second; ten pages that each asked would ask forty times.
            assert 1 <= await asked_during(4.0) <= 6


async def test_without_the_broker_the_page_is_marked_as_stale_and_recovers_by_itself(
    browser: Browser, stack: Stack
) -> None:
    async with contextlib.AsyncExitStack() as exits:
        pages = [await exits.enter_async_context(opened(browser, stack.settings.console_url, look)) for look in LOOKS]
        async with stopped(stack, "nats-server"):
            for page in pages:
                await sees(page, "#connection", "Stale for")
                await sees(page, "#headline", "Nothing can be seen now")
                await sees(page, "#reason", "The figures are those of")
                await sees(page, "#announcement", "Nothing can be seen now")
                await expect(page).to_have_title("Stale · Tollgate")
                await check_accessible(page)
        for page in pages:
            await sees(page, "#connection", "Live")
            await sees(page, "#headline", "All is quiet")


async def test_when_the_console_is_killed_the_page_connects_again(page: Page, stack: Stack) -> None:
    old = await asyncio.to_thread(stack.kill, "console")
    await stack.wait_for_new_pid("console", old)
    # Only a message of the new process can show it.
    await pay(stack, Decimal("70000.00"))
    await expect(page.locator("#charged")).to_have_text(re.compile(r"^7\d,"), timeout=SEEN_MS_MAX)
    await sees(page, "#connection", "Live")


async def test_a_page_from_elsewhere_cannot_read_it(stack: Stack) -> None:
    async with aiohttp.ClientSession(headers={"Host": "rebound.example"}) as session:
        for path in ("/", "/events", "/api/summary"):
            async with session.get(stack.settings.console_url + path) as response:
                assert response.status == 403, path


async def test_opened_wider_it_asks_for_its_token_once(browser: Browser, stack: Stack) -> None:
    port = free_port()
    environment = stack.environment | {
        "NATS_URL": ensure_credentials(stack.settings).url(stack.settings, "console"),
        "CONSOLE_HOST": "0.0.0.0",  # noqa: S104 - with a token
        "CONSOLE_PORT": str(port),
        "CONSOLE_TOKEN": TOKEN,
    }
    address = f"http://127.0.0.1:{port}"
    program = await asyncio.create_subprocess_exec(str(BIN / "console"), "run", env=environment)
    try:
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: _answers(session, f"{address}/livez"), what="the console listens")
            for given in ("", f"?token={TOKEN}x"):
                async with session.get(f"{address}/{given}") as response:
                    assert response.status == 403
        async with opened(browser, f"{address}/?token={TOKEN}") as page:
            assert page.url == f"{address}/"
            [cookie] = await page.context.cookies()
            assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (COOKIE, True, "Strict")
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.terminate()
        await program.wait()


async def _answers(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(address) as response:
            return response.status == 204
    except aiohttp.ClientError:
        return False
