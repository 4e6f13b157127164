"""The log contract: the events, subjects, money and time that every service agrees on.

It imports no service and no framework. What is written here is what lies in the log for years, so a change here is a
change of a public format: see `docs/reference/events.md`.
"""
