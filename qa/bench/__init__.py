"""Benchmarks of the read model and of the whole stack, each a program: `python -m qa.bench.<name> --help`."""
