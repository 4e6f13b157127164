"""Comparing the read model with the log and with the providers' records."""
