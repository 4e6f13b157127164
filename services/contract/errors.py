"""The root of Tollgate's exceptions. `runtime/errors.py` shows the whole hierarchy."""


class TollgateError(Exception):
    """Every exception class of Tollgate derives from this one, except the simulator's, which is independent."""
