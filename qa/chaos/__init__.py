"""Chaos runs: whole stacks under faults drawn from a seed, then healed, then judged against every promise."""
