"""Finds the plain lines of a stretch of the log: requests, intents and charges as `encode` spells them. Pure.

One expression finds the lines of all messages of one type. What it does not check is checked for all of them at once:
a step of Python for each line would cost more than the expression.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import add
from typing import Any

from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.codec import VERSION
from tollgate.contract.events import PROVIDERS
from tollgate.contract.subjects import REQUESTED
from tollgate.contract.timestamps import InvalidTimestampError, parse_us

_ID_CHARACTERS = 36
_DASHES = (8, 13, 18, 23)
_ID_BYTES = b"0123456789abcdef-"
# Any characters: ids and times are checked afterwards, all of them together, which is faster.
_ID = f"((?s:.{{{_ID_CHARACTERS}}}))"
_SECOND = "((?s:.{19}))"
_SECOND_DIGITS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
# Amounts and attempts of more digits are valid, but not plain.
_AMOUNT = "[1-9][0-9]{0,15}"
_ATTEMPT = "[1-9][0-9]{0,8}"
_TEXT = r'"[ !#-\[\]-~]*"'
_PROVIDER = f'"({"|".join(PROVIDERS)})"'

SECONDS_MAX = 100_000
"""Limit of the seconds whose numbers are cached; beyond it the cache is cleared before the next stretch."""

Place = int
"""Where a line is in its stretch: the index of its message times EVENTS_MAX, and its number in there."""
StoredMessage = tuple[int, bytes, int]
"""Sequence, payload, and the microsecond at which it was stored."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages in the log's order, as one list per property, all of the same length."""

    sequences: Sequence[int]
    subjects: Sequence[str]
    payloads: Sequence[bytes]
    stored_at_us: Sequence[int]

    def slice(self, begin: int, end: int) -> "Stretch":
        return Stretch(
            self.sequences[begin:end], self.subjects[begin:end], self.payloads[begin:end], self.stored_at_us[begin:end]
        )

    def messages(self) -> list[StoredMessage]:
        return list(zip(self.sequences, self.payloads, self.stored_at_us, strict=True))


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the plain events of one type are spelled. The first group of `find` is the id."""

    find: Callable[[str], list[Any]]
    """Finds the groups of all lines that are spelled as `encode` spells them."""
    seconds: tuple[int, ...]
    """The groups that hold times to the second; the expression also matches what is none."""
    provider: int | None = None
    """The group that holds the provider, which has to be that of the subject."""


def _kind(name: str, *fields: str, seconds: tuple[int, ...], provider: int | None = None) -> _Kind:
    # Only id and times may contain a line's end here, which are checked, so each match is a whole line.
    line = f'^{{"type":"{name}","version":{VERSION},"correlationId":"{_ID}",{",".join(fields)}}}$'
    return _Kind(re.compile(line, re.ASCII | re.MULTILINE).findall, seconds, provider)


_REQUEST = _kind(
    "PaymentRequested",
    f'"amountCents":{_AMOUNT}',
    rf'"acceptedAt":"{_SECOND}\.[0-9]{{6}}Z"',
    seconds=(1,),
)
_INTENT = _kind(
    "PaymentRouted",
    f'"amountCents":{_AMOUNT}',
    # The group is empty for the first attempt.
    f'"attempt":(?:1|({_ATTEMPT}))',
    f'"processor":{_PROVIDER}',
    rf'"requestedAt":"{_SECOND}\.[0-9]{{6}}Z"',
    f'"why":{_TEXT}',
    seconds=(3,),
    provider=2,
)
_CHARGE = _kind(
    "PaymentProcessed",
    f'"amountCents":({_AMOUNT})',
    f'"attempt":({_ATTEMPT})',
    f'"processor":{_PROVIDER}',
    rf'"requestedAt":"{_SECOND}\.([0-9]{{6}})Z"',
    rf'"processedAt":"{_SECOND}\.([0-9]{{6}})Z"',
    seconds=(4, 6),
    provider=3,
)
_PLAIN: dict[str, _Kind] = {
    REQUESTED: _REQUEST,
    **{f"payments.routed.{one}": _INTENT for one in PROVIDERS},
    **{f"payments.processed.{one}": _CHARGE for one in PROVIDERS},
}
"""Subject -> the type of its plain events."""


@dataclass(slots=True)
class Lines:
    """Lines of one type, in the log's order."""

    places: dict[str, Place] = field(default_factory=dict)
    """Payment -> its line."""
    found: list[Any] = field(default_factory=list)
    """The groups of the expression, for each line; the first is the id."""
    repeats: list[tuple[str, Place]] = field(default_factory=list)
    """Further lines of payments that are in `places`. Those payments are not plain."""

    def add(self, found: list[Any], ids: list[str], places: Iterable[Place]) -> None:
        self.found += found
        added = dict(zip(ids, places, strict=True))
        if len(added) == len(ids) and self.places.keys().isdisjoint(added):
            self.places.update(added)
            return
        for one, place in zip(ids, places, strict=True):
            if self.places.setdefault(one, place) != place:
                self.repeats.append((one, place))

    def take(self, ids: Iterable[str]) -> list[Place]:
        """Removes the lines of these payments, among them all that have repeats, and returns their places."""
        taken = [self.places.pop(one) for one in ids if one in self.places] + [place for _, place in self.repeats]
        if taken:
            self.found = [one for one in self.found if one[0] in self.places]
        return taken


class PlainLines:
    """Finds the plain lines of one stretch after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, int] = {}
        """Text -> microseconds since the epoch, for the times of the lines of the last stretch, at least."""

    def find(self, stretch: Stretch) -> tuple[Lines, Lines, Lines, list[int]]:
        """Requests, intents and charges, and the indices of the messages that are not plain as a whole."""
        if len(self.seconds) > SECONDS_MAX:
            self.seconds.clear()
        others: list[int] = []
        indices: dict[int, list[int]] = {id(kind): [] for kind in (_REQUEST, _INTENT, _CHARGE)}
        where = {subject: indices[id(kind)] for subject, kind in _PLAIN.items()}
        for index, subject in enumerate(stretch.subjects):
            where.get(subject, others).append(index)
        requests, intents, charges = Lines(), Lines(), Lines()
        for kind, lines in ((_REQUEST, requests), (_INTENT, intents), (_CHARGE, charges)):
            self._find(stretch, kind, indices[id(kind)], lines, others)
        return requests, intents, charges, sorted(others)

    def _find(self, stretch: Stretch, kind: _Kind, indices: list[int], lines: Lines, others: list[int]) -> None:
        """Adds the lines of those messages all of whose lines are plain; the indices of the other messages to `others`.

        One expression finds the lines of all messages. Only where it does not, halves of them are searched.
        """
        if not indices:
            return
        payloads = [stretch.payloads[index] for index in indices]
        counts = [payload.count(b"\n") + 1 for payload in payloads]
        found = kind.find(b"\n".join(payloads).decode("latin-1"))
        ids = [one[0] for one in found]
        if len(found) == sum(counts) and self._are_plain(
            kind, ids, found, [stretch.subjects[index] for index in indices], counts
        ):
            begins = [index * EVENTS_MAX for index in indices]
            ends = map(add, begins, counts)
            lines.add(found, ids, list(chain.from_iterable(map(range, begins, ends))))
        elif len(indices) == 1:
            others += indices
        else:
            middle = len(indices) // 2
            self._find(stretch, kind, indices[:middle], lines, others)
            self._find(stretch, kind, indices[middle:], lines, others)

    def _are_plain(self, kind: _Kind, ids: list[str], found: list[Any], subjects: list[str], counts: list[int]) -> bool:
        """Checks what the expression does not, of messages with these subjects and counts of lines."""
        return (
            max(counts) <= EVENTS_MAX
            and _are_ids(ids)
            and not _are_repeated(ids, counts)
            and (kind.provider is None or [one[kind.provider] for one in found] == _providers(subjects, counts))
            and all(self._is_second(text) for group in kind.seconds for text in {one[group] for one in found})
        )

    def _is_second(self, text: str) -> bool:
        """Whether the text is a valid time to the second; then `seconds` has it."""
        if text not in self.seconds:
            if not _SECOND_DIGITS.fullmatch(text):
                return False
            try:
                self.seconds[text] = parse_us(f"{text}Z")
            except InvalidTimestampError:
                return False
        return True


def _are_ids(ids: list[str]) -> bool:
    """Whether texts of 36 characters are ids: hexadecimal digits, and dashes where they belong and nowhere else."""
    text = "".join(ids).encode("latin-1")
    dashes = b"-" * len(ids)
    return (
        not text.translate(None, _ID_BYTES)
        and text.count(b"-") == len(_DASHES) * len(ids)
        and all(text[place::_ID_CHARACTERS] == dashes for place in _DASHES)
    )


def _are_repeated(ids: list[str], counts: list[int]) -> bool:
    """Whether two lines of one message are of the same payment."""
    if len(set(ids)) == len(ids):
        return False
    messages = chain.from_iterable(map(repeat, range(len(counts)), counts))
    return len(set(zip(messages, ids, strict=True))) < len(ids)


def _providers(subjects: list[str], counts: list[int]) -> list[str]:
    """The provider of each line, by the subject of its message."""
    names = [subject.rpartition(".")[2] for subject in subjects]
    return list(chain.from_iterable(map(repeat, names, counts)))
