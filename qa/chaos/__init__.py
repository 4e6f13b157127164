"""The promises under faults: whole stacks, broken in every way that a seed draws, and what they then have to show."""
