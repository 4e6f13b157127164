"""The tables of reference/settings.md, from the classes in which the programs declare their settings."""

import re
from typing import Any

from tollgate.console import settings as console
from tollgate.gateway import settings as gateway
from tollgate.processor import settings as processor
from tollgate.projector import settings as projector
from tollgate.runtime.settings import Declaration, ServiceSettings, declarations
from tollgate.stack import settings as stack

TABLES: dict[str, Any] = {
    "make run": stack.Environment,
    "every service": ServiceSettings,
    "gateway": gateway.Settings,
    "processor": processor.Settings,
    "projector": projector.Settings,
    "projector verify": projector.VerifySettings,
    "console": console.Settings,
}
_TABLE = re.compile(r"(<!-- settings of (?P<of>[^>]+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The page, each table between its two marks as the code declares it. Raises ValueError when one is missing."""
    marked = [found["of"] for found in _TABLE.finditer(page)]
    if sorted(marked) != sorted(TABLES):
        raise ValueError(f"the page has tables of {marked}, and there are settings of {list(TABLES)}")
    return _TABLE.sub(lambda found: f"{found[1]}\n{_table(found['of'])}\n\n{found[3]}", page)


def _table(of: str) -> str:
    shared = declarations(ServiceSettings) if issubclass(TABLES[of], ServiceSettings) and of != "every service" else {}
    own = {name: one for name, one in declarations(TABLES[of]).items() if name not in shared}
    rows = [f"| `{name}` | {_default(one)} | {_cell(one.allowed)} | {_cell(one.what)} |" for name, one in own.items()]
    return "\n".join(["| variable | default | allowed | |", "|---|---|---|---|", *rows])


def _default(declaration: Declaration) -> str:
    value = declaration.default
    if value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
