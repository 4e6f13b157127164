"""A stack on one machine: what belongs to its DATA_DIR, its programs, and its broker alone.

The commands of operators (`ops`, `status`) and the launcher of `make run` both use it.
"""
