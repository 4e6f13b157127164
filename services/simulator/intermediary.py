"""Answers of intermediaries in the provider's place: proxies, ingresses, firewalls. Pure."""

from enum import Enum
from itertools import product
from typing import NamedTuple


class Form(Enum):
    """The form of the body of an intermediary's answer."""

    HTML = "html"
    JSON = "json"
    EMPTY = "empty"


class Interception(NamedTuple):
    """An answer in the provider's place; with `forwards`, the handler still gets the request, and may charge."""

    counted_as: str
    """The field of Stats that counts it."""
    status: int
    form: Form
    forwards: bool = False


def _each(
    counted_as: str,
    statuses: tuple[int, ...],
    forms: tuple[Form, ...] = tuple(Form),
    forwards: tuple[bool, ...] = (False,),
) -> tuple[Interception, ...]:
    return tuple(Interception(counted_as, *drawn) for drawn in product(statuses, forms, forwards))


ERRORS = _each("proxy_errors", (502, 503, 504, 520, 522, 524), forwards=(True,))
"""A proxy gives up at once, while the handler works on the request."""
EXPIRED_TOKENS = _each("proxy_expired_tokens", (401, 403))
NO_ROUTES = _each("proxy_no_routes", (404,))
LOOKUP_NO_ROUTES = _each("lookup_no_routes", (404,), (Form.HTML, Form.JSON))
"""Always with a body: a lookup's 404 without a body is the provider's own."""
REFUSALS = _each("proxy_refusals", (400, 405, 408, 409, 413, 425, 451), (Form.HTML,), (False, True))
"""Other statuses of proxies and firewalls; some inspect only the answer, after the handler has ended."""
PAGES = _each("proxy_pages", (200, 302), (Form.HTML,))
"""An HTML page: maintenance, or a login."""


class Share(NamedTuple):
    """The share of requests that are intercepted in one of these ways."""

    ratio: float
    ways: tuple[Interception, ...]


def intercepted(drawn: float, detail: float, shares: tuple[Share, ...]) -> Interception | None:
    """The interception drawn by two numbers in [0, 1), or None. The sum of the ratios of `shares` is at most 1."""
    for ratio, ways in shares:
        if drawn < ratio:
            return ways[int(detail * len(ways))]
        drawn -= ratio
    return None
