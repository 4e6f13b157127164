"""Courses: what payment processors go through while payments come in, and what a routing policy makes of it.

Without I/O and in virtual time, so that a policy can be tried on a thousand courses before money flows through it.
`python -m qa.routing_sim --help`; docs/explanation/routing.md.
"""
