"""The tables of how-to/logs.md: the fields of a JSON line and the events, as the code declares them."""

import re

from tollgate.runtime.log_fields import EVENTS, documented

_TABLE = re.compile(r"(<!-- (?P<of>fields|events): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The page, each table between its two marks. Raises ValueError when one is missing."""
    tables = {
        "fields": _table("field", documented()),
        "events": _table("event", {str(one): what for one, what in EVENTS.items()}),
    }
    marked = [found["of"] for found in _TABLE.finditer(page)]
    if marked != list(tables):
        raise ValueError(f"the page has tables of {marked}, and there are {list(tables)}")
    return _TABLE.sub(lambda found: f"{found[1]}\n{tables[found['of']]}\n\n{found[3]}", page)


def _table(name: str, rows: dict[str, str]) -> str:
    return "\n".join([f"| {name} | |", "|---|---|", *(f"| `{one}` | {what} |" for one, what in rows.items())])
