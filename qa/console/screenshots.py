"""Takes the pictures of docs/how-to/console.md: a real browser on a real stack, one state after the other.

    python -m qa.console.screenshots --out docs/how-to

Needs Chromium. Takes about five minutes, so that the charts have something to show.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from qa.console.scene import Scene, running_scene

CHROMIUM = Path("/usr/bin/chromium")
SEEN_MS_MAX = 90_000
RATE_PER_SECOND = 40.0
LOAD_SECONDS = 75
FAULT_SECONDS = 10
REBUILDS_MAX = 8
REBUILD_MS_MAX = 6_000
COLOURS = 64
"""Of a picture: the page has few, and the file becomes a third as large."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at."""

    is_dark: bool
    size: ViewportSize


LOOKS: Mapping[str, Look] = {
    "light": Look(is_dark=False, size={"width": 1_180, "height": 900}),
    "dark": Look(is_dark=True, size={"width": 1_180, "height": 900}),
    "phone": Look(is_dark=False, size={"width": 390, "height": 844}),
}


class Camera:
    """The same page in every look, open all the time."""

    def __init__(self, pages: Mapping[str, Page], folder: Path) -> None:
        self._pages = pages
        self._folder = folder

    async def see(self, selector: str, text: str, *, timeout_ms: int = SEEN_MS_MAX) -> None:
        """Waits until every page shows the text."""
        await asyncio.gather(
            *(expect(page.locator(selector)).to_contain_text(text, timeout=timeout_ms) for page in self._pages.values())
        )

    async def take(
        self, state: str, *, looks: Iterable[str] = LOOKS, full: bool = False, of: str | None = None
    ) -> None:
        """A picture for each look: the upper part of the page, all of it, or the element `of`."""
        for look in looks:
            page = self._pages[look]
            if of is None:
                await page.evaluate("scrollTo(0, 0)")
                content = await page.screenshot(full_page=full)
            else:
                content = await page.locator(of).screenshot()
            path = self._folder / f"console-{state}-{look}.png"
            path.write_bytes(_small(content))
            click.echo(f"{path} {path.stat().st_size:,} bytes")

    async def find_payment(self, correlation_id: str) -> None:
        """Looks the payment up on the page in light."""
        page = self._pages["light"]
        await page.locator("#payment-id").fill(correlation_id)
        await page.locator("#find button").click()
        await expect(page.locator("#payment")).to_contain_text("charged at", timeout=SEEN_MS_MAX)


def _small(png: bytes) -> bytes:
    """With a palette."""
    with Image.open(io.BytesIO(png)) as picture:
        made = io.BytesIO()
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return made.getvalue()


async def take_all(camera: Camera, scene: Scene) -> None:
    """Each state once; a fault ends before the next begins."""
    async with scene.load(RATE_PER_SECOND):
        await asyncio.sleep(LOAD_SECONDS)
        await camera.take("load", full=True)
        await _provider_down(camera, scene)
        await _doubts(camera, scene)
        with scene.stopped("nats-server"):
            await camera.see("#connection", "Stale for 1")
            await camera.take("broker-away")
        await camera.see("#connection", "Live")
        await _rebuild(camera, scene)
    await camera.see("#headline", "All is quiet")
    await camera.take("quiet")


async def _provider_down(camera: Camera, scene: Scene) -> None:
    await scene.set_provider("default", "configurations/failure", failure=True)
    await camera.see("#provider-default .state", "breaker open")
    unlucky = scene.newest_payment
    await camera.see("#headline", "to fallback")
    await asyncio.sleep(FAULT_SECONDS)
    await camera.take("provider-down")
    await scene.set_provider("default", "configurations/failure", failure=False)
    await camera.see("#headline", "flowing to default")
    await camera.find_payment(unlucky)
    await camera.take("payment", looks=["light"], of="#find-card")


async def _doubts(camera: Camera, scene: Scene) -> None:
    """Answers are lost, and lookups find no way to the provider."""
    await scene.set_provider("default", "faults", lost_answer_ratio=0.05, lookup_no_route_ratio=1.0)
    await camera.see("#reason", "in doubt")
    await asyncio.sleep(FAULT_SECONDS)
    await camera.take("doubts")
    await scene.set_provider("default", "faults", lost_answer_ratio=0.0, lookup_no_route_ratio=0.0)
    await camera.see("#reason", "none is in doubt")


async def _rebuild(camera: Camera, scene: Scene) -> None:
    """A rebuild of so short a log takes a second, so the console may ask before and after it: it is done again."""
    for _ in range(REBUILDS_MAX):
        rebuilding = await scene.rebuild()
        try:
            await camera.see("#progress-text", "messages of the log are read", timeout_ms=REBUILD_MS_MAX)
        except AssertionError:
            continue
        else:
            # The pages keep what they show.
            with scene.stopped("console"):
                await camera.take("rebuild", looks=["light"])
            return
        finally:
            await rebuilding.wait()
    raise RuntimeError(f"none of {REBUILDS_MAX} rebuilds was seen")


@asynccontextmanager
async def _camera(browser: Browser, scene: Scene, folder: Path) -> AsyncIterator[Camera]:
    async with AsyncExitStack() as stack:
        pages = {}
        for name, look in LOOKS.items():
            context = await browser.new_context(
                color_scheme="dark" if look.is_dark else "light", viewport=look.size, has_touch=name == "phone"
            )
            stack.push_async_callback(context.close)
            pages[name] = await context.new_page()
            await pages[name].goto(scene.console.url)
        yield Camera(pages, folder)


async def _run(folder: Path, first_port: int) -> None:
    async with running_scene(first_port) as scene, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            async with _camera(browser, scene, folder) as camera:
                await take_all(camera, scene)
        finally:
            await browser.close()


@click.command()
@click.option("--out", "folder", default="docs/how-to", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--first-port", default=27_300, show_default=True, help="The first of twelve free ports.")
def main(folder: Path, first_port: int) -> None:
    """Takes every picture of the console's page."""
    asyncio.run(_run(folder, first_port))


if __name__ == "__main__":
    main()
