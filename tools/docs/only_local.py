"""An MkDocs hook: a page that loads anything from another host ends the build.

Links that a reader may follow are allowed; scripts, styles, fonts and images have to be part of the site.
"""

from html.parser import HTMLParser
from typing import Any

from mkdocs.exceptions import PluginError

_LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
_LINKS_THAT_LOAD = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"}


class _Loads(HTMLParser):
    """Collects the addresses that a browser loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and _LINKS_THAT_LOAD & set(given.get("rel", "").split()):
            self.addresses.append(given.get("href", ""))
        elif tag in _LOADS:
            self.addresses.append(given.get(_LOADS[tag], ""))


def foreign_addresses(html: str) -> list[str]:
    """The addresses of other hosts that a browser would load with this page."""
    loads = _Loads()
    loads.feed(html)
    return [one for one in loads.addresses if "://" in one or one.startswith("//")]


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Called by MkDocs with each built page."""
    if found := foreign_addresses(output):
        raise PluginError(f"{page.file.src_uri} loads from elsewhere: {', '.join(found)}")
    return output
