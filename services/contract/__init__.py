"""The log contract: events, subjects, money and time, shared by all services.

It imports no service and no framework. Events stay in the log for years, so a change here changes a public format: see
`docs/reference/events.md`.
"""
