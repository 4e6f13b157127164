"""Every exception class has one root, and the picture of the hierarchy shows each class below its parent."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import tollgate
from tollgate.runtime import errors
from tollgate.runtime.errors import TollgateError

LEVEL_WIDTH = 5
FIRST_INDENT = 2


def modules() -> Iterator[str]:
    """Every module but the simulator's, which is independent, and those that run a program when imported."""
    for module in pkgutil.walk_packages(tollgate.__path__, "tollgate."):
        if not module.name.startswith("tollgate.simulator") and not module.name.endswith("__main__"):
            yield module.name


def exception_classes() -> set[type[BaseException]]:
    """The exception classes that are defined in those modules."""
    return {
        value
        for name in modules()
        for value in vars(importlib.import_module(name)).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == name
    }


def pictured_parents() -> dict[str, str]:
    """Each class in the picture, with the class above it; a line that names a folder is passed over."""
    parents: dict[str, str] = {}
    above: list[str] = []
    assert errors.__doc__ is not None
    for line in errors.__doc__.splitlines():
        if (match := re.match(r"([ │]*)[├└]─ (\w+)(?:  |$)", line)) is None:
            continue
        level = (len(match[1]) - FIRST_INDENT) // LEVEL_WIDTH
        del above[level:]
        above.append(match[2])
        if not match[2].islower():
            parents[match[2]] = next((name for name in reversed(above[:-1]) if not name.islower()), "TollgateError")
    return parents


def test_every_exception_derives_from_the_root() -> None:
    classes = exception_classes()
    assert TollgateError in classes
    assert [one for one in classes if not issubclass(one, TollgateError)] == []


def test_the_picture_shows_every_exception_below_its_parent() -> None:
    classes = exception_classes() - {TollgateError}
    assert pictured_parents() == {one.__name__: one.__bases__[0].__name__ for one in classes}
