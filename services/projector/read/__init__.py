"""Queries on the read model."""
