"""An HTTP answer, before it is rendered for the framework or for the connection. Pure."""

from dataclasses import dataclass
from http import HTTPStatus

from tollgate.gateway.problems import RETRY_AFTER_SECONDS, Problem

Headers = tuple[tuple[bytes, bytes], ...]
PROBLEM_TYPE = b"application/problem+json"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body. The body's type is not empty if there is a body."""

    status: int
    headers: Headers = ()
    content_type: bytes = b""
    body: bytes = b""


def answer_of(problem: Problem, *headers: tuple[bytes, bytes]) -> Answer:
    """The problem as an answer, with these headers and, where another try may succeed, Retry-After."""
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = ((b"retry-after", str(RETRY_AFTER_SECONDS).encode()), *headers)
    return Answer(problem.status, headers, PROBLEM_TYPE, problem.body())


def in_http_1_1(answer: Answer, *headers: tuple[bytes, bytes], keep_alive: bool) -> bytes:
    """The answer's bytes in HTTP/1.1, with these headers before its own."""
    lines = [_STATUS_LINES[answer.status]]
    lines += [b"%b: %b\r\n" % header for header in (*headers, *answer.headers)]
    if answer.content_type:
        lines.append(b"content-type: %b\r\n" % answer.content_type)
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    lines.append(b"content-length: %d\r\n\r\n" % len(answer.body))
    lines.append(answer.body)
    return b"".join(lines)
