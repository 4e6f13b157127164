"""Measurements of the read model, each a program of its own: `python -m bench.<name> --help`."""
