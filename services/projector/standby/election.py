"""Which of the running projectors answers questions. Pure: no I/O and no clock of its own.

Each projector asks all of them in rounds, itself among them, and decides by what it has heard. So for some moments two
may answer, or none. Two do no harm: each answer is exact by itself, because it waits for the log's end.
"""

from collections.abc import Sequence

from tollgate.contract.projector_presence import Presence

MISSED_ROUNDS = 2
"""A projector that was not heard for so many rounds is gone."""


class Election:
    """The view of the projector `instance`."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._others: dict[str, tuple[Presence, int]] = {}
        """What each other projector answered last, and how many rounds ago."""
        self.is_won = False

    def hear(self, answers: Sequence[Presence]) -> None:
        """Takes the answers of a round. One without this projector's own answer proves nothing."""
        heard = {one.instance: one for one in answers}
        mine = heard.pop(self._instance, None)
        if mine is None:
            return
        aged = {instance: (one, rounds + 1) for instance, (one, rounds) in self._others.items()}
        aged |= {instance: (one, 0) for instance, one in heard.items()}
        self._others = {instance: one for instance, one in aged.items() if one[1] < MISSED_ROUNDS}
        self.is_won = all(_rank(mine) > _rank(other) for other, _ in self._others.values())


def _rank(presence: Presence) -> tuple[bool, bool, str]:
    """Greatest for the one that answers: one that has read the log to its end; of those, the one that does already."""
    return presence.is_current, presence.is_active, presence.instance
