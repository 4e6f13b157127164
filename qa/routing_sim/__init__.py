"""Scenarios of provider behaviour, and how a routing policy performs in them.

Without I/O and in virtual time, so that a policy can be tried on a thousand scenarios before real payments use it.
`python -m qa.routing_sim --help`; docs/explanation/routing.md.
"""
