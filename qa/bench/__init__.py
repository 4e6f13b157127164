"""Measurements of the read model, each a program of its own: `python -m qa.bench.<name> --help`."""
