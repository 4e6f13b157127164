"""The answers as one object: what `--json` prints, and the screen shows. Pure.

It is the console's message, with faults, processes and lag. Amounts are cents, ages seconds. A part that is null
was not answered.
"""

from dataclasses import asdict
from typing import Any

import orjson

from tollgate.console.live import Recent, render_live
from tollgate.console.programs import KnownPrograms
from tollgate.contract.read_model_health import Bounds
from tollgate.status.answers import Answers


def view_of(answers: Answers, recent: Recent, programs: KnownPrograms, bounds: Bounds) -> dict[str, Any]:
    """The object; the rates are those between the samples in `recent`."""
    message: dict[str, Any] = orjson.loads(render_live(answers.observation, recent, None, programs))
    # The chart's point belongs to the page.
    del message["point"], message["troubles"]
    faults = answers.faults(bounds)
    return {
        "healthy": not faults,
        "faults": faults,
        **message,
        "archive": _archive(answers),
        "readModel": None if answers.lag is None else asdict(answers.lag),
        "processes": [asdict(one) for one in answers.processes],
    }


def _archive(answers: Answers) -> dict[str, object] | None:
    status = answers.observation.status
    end = None if status is None else status.archive
    if end is None:
        return None
    # In the message's own form of names.
    return {
        "firstSequence": end.first_sequence,
        "lastSequence": end.last_sequence,
        "stretches": end.stretches,
        "head": end.head,
    }
