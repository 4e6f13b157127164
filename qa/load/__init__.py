"""Constant load with an exact audit: whether the promises hold under load while programs are killed."""
