"""The Python that a benchmark runs on: its version, and whether its build names the optimisations that matter."""

import platform
import shlex
import sysconfig

_OPTIMISATIONS = ("--enable-optimizations", "--with-lto")


def interpreter() -> str:
    """Such as `3.11.14, configured with --enable-optimizations --with-lto`."""
    return f"{platform.python_version()}, {optimisations(sysconfig.get_config_var('CONFIG_ARGS') or '')}"


def optimisations(config_args: str) -> str:
    """What the arguments of `configure` name.

    Debian optimises its builds by a rule of its own, without these arguments. No other variable of `sysconfig` tells
    its builds from those that are not optimised.
    """
    given = {argument.partition("=")[0] for argument in shlex.split(config_args) if not argument.endswith("=no")}
    named = [one for one in _OPTIMISATIONS if one in given]
    return f"configured with {' '.join(named)}" if named else "configured without --enable-optimizations"
