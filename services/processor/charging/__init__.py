"""Charging: one payment from its request to its outcome."""
