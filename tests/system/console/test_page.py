"""The page in a real browser on a whole stack: each view, faults of the stack, and axe."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.stack import Stack

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[2] / "support" / "axe" / "axe.js"
SEEN_MS_MAX = 20_000

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("console") / "data", environment={"TOLLGATE_CONSOLE": "true"}) as stack:
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
    context = await browser.new_context()
    context.set_default_timeout(SEEN_MS_MAX)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(stack.settings.console_url)
    await sees(page, "#connection", "Live")
    yield page
    assert not faults
    await context.close()


async def sees(page: Page, selector: str, text: str) -> None:
    await expect(page.locator(selector)).to_contain_text(text, timeout=SEEN_MS_MAX)


async def pay(stack: Stack, amount: Decimal) -> str:
    correlation_id = str(uuid.uuid4())
    async with aiohttp.ClientSession() as session:
        content = {"correlationId": correlation_id, "amount": float(amount)}
        async with session.post(f"{stack.url}/payments", json=content) as response:
            assert response.status == 202
    return correlation_id


async def test_a_payment_is_found_by_its_id_with_its_timeline(page: Page, stack: Stack) -> None:
    correlation_id = await pay(stack, Decimal("19.90"))
    await sees(page, "#charged", "19.90")
    await page.get_by_label("Payment id").fill(correlation_id)
    await page.get_by_role("button", name="Find").click()
    await sees(page, "#payment", "19.90; the payment is charged.")
    await sees(page, "#payment", "Attempt 1: routed to")


async def test_an_unknown_payment_and_a_text_that_is_no_id_are_refused_in_words(page: Page) -> None:
    for text, answer in ((str(uuid.uuid4()), "was requested"), ("x", "must be a UUID")):
        await page.get_by_label("Payment id").fill(text)
        await page.keyboard.press("Enter")
        await sees(page, "#payment", answer)


async def test_a_window_dragged_on_the_chart_is_summarised(page: Page) -> None:
    over = page.locator("#chart-rates .u-over")
    box = await over.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 40, box["y"] + 40)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 60, steps=5)
    await page.mouse.up()
    await sees(page, "#summary", "ettled: ")
    assert await page.get_by_label("From").input_value() != ""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1_200), ("dark", 1_200), ("light", 390)])
async def test_axe_finds_no_violation(browser: Browser, stack: Stack, scheme: str, width: int) -> None:
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}
    )
    page = await context.new_page()
    await page.goto(stack.settings.console_url)
    await sees(page, "#connection", "Live")
    # Evaluated, because the page's policy allows no other script.
    await page.evaluate(AXE.read_text())
    violations = await page.evaluate("axe.run().then((found) => found.violations.map((one) => one.id))")
    assert violations == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await context.close()


async def test_without_the_broker_the_page_says_so_and_recovers_by_itself(page: Page, stack: Stack) -> None:
    pid = await asyncio.to_thread(stack.kill, "nats-server", signal.SIGSTOP)
    try:
        await sees(page, "#connection", "Stale for")
        await sees(page, "#troubles", "Not everything answers")
    finally:
        await asyncio.to_thread(stack.kill, "nats-server", signal.SIGCONT)
    assert pid
    await sees(page, "#connection", "Live")
    await expect(page.locator("#troubles")).to_be_hidden(timeout=SEEN_MS_MAX)


async def test_when_the_console_is_killed_the_page_connects_again(page: Page, stack: Stack) -> None:
    old = await asyncio.to_thread(stack.kill, "console")
    await stack.wait_for_new_pid("console", old)
    # Only a message of the new process can show it.
    await pay(stack, Decimal("7000.00"))
    await sees(page, "#charged", "7,0")
    await sees(page, "#connection", "Live")


async def test_a_page_from_elsewhere_cannot_read_it(stack: Stack) -> None:
    async with aiohttp.ClientSession(headers={"Host": "rebound.example"}) as session:
        for path in ("/", "/events", "/api/summary"):
            async with session.get(stack.settings.console_url + path) as response:
                assert response.status == 403, path
