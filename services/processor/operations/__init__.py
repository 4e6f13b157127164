"""Operator commands: status, and manual resolution of attempts in doubt."""
