"""Shared by tests: the real programs, started on free ports with their own folders."""
