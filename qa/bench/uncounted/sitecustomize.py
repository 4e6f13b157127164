"""Python runs this file at its start where it is on PYTHONPATH: the program counts nothing (qa/bench/watching.py)."""

from prometheus_client import Counter, Gauge, Histogram


def _nothing(*_arguments: object, **_options: object) -> None:
    pass


for kind, names in ((Counter, ("inc",)), (Gauge, ("inc", "dec", "set")), (Histogram, ("observe",))):
    for name in names:
        setattr(kind, name, _nothing)
