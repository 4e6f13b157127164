"""Benchmarks of the read model, each a program: `python -m qa.bench.<name> --help`."""
