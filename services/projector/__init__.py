"""Builds the read model from the log, and answers questions of it."""
