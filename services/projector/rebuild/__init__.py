"""Rebuilding the read model from the log."""
