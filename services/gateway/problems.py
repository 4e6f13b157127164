"""Error answers as RFC 9457 problem details."""

from http import HTTPStatus

import orjson

from tollgate.contract.errors import TollgateError

RETRY_AFTER_SECONDS = 1


class Problem(TollgateError):  # noqa: N818 - it is the answer itself, not only an error
    """An answer of `application/problem+json`; `detail` names the fault and what would mend it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    def body(self) -> bytes:
        return orjson.dumps({"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail})


def malformed(detail: str) -> Problem:
    """400: the request cannot be read."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def invalid(detail: str) -> Problem:
    """422: the request can be read, but a value is not allowed."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def unavailable(detail: str) -> Problem:
    """503: the request cannot be served now; it may be sent again unchanged."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)


STOPPING = unavailable("the gateway is stopping; send it again")
"""For a request that a stop of the service cancels."""
FAILED = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed; see its program log")
"""For errors that are not a problem; it reveals nothing internal."""
