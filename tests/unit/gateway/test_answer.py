"""How an answer is written to a connection."""

import json

from tollgate.gateway.answer import Answer, answer_of, in_http_1_1
from tollgate.gateway.problems import malformed, unavailable

DATE = (b"date", b"Sat, 28 Nov 2026 08:00:00 GMT")


def test_an_answer_without_a_body_states_that_its_length_is_zero() -> None:
    answer = Answer(202, ((b"location", b"/payments/1"),))
    assert in_http_1_1(answer, DATE, keep_alive=True) == (
        b"HTTP/1.1 202 Accepted\r\ndate: Sat, 28 Nov 2026 08:00:00 GMT\r\n"
        b"location: /payments/1\r\ncontent-length: 0\r\n\r\n"
    )


def test_a_problem_is_written_with_its_type_and_the_length_in_bytes() -> None:
    head, _, body = in_http_1_1(answer_of(malformed("é")), keep_alive=False).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 400 Bad Request",
        b"content-type: application/problem+json",
        b"connection: close",
        b"content-length: %d" % len(body),
    ]
    assert json.loads(body)["detail"] == "é"


def test_only_what_may_succeed_later_says_when_to_try_again() -> None:
    assert answer_of(unavailable("wait"), (b"allow", b"GET")).headers == ((b"retry-after", b"1"), (b"allow", b"GET"))
    assert answer_of(malformed("no"), (b"allow", b"GET")).headers == ((b"allow", b"GET"),)
