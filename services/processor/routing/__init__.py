"""Routing: which provider gets a payment, and when. Pure: no I/O, no clock and no random source of its own.

Time is passed in as monotonic seconds, chance as a seeded `random.Random`, so that whole days can be replayed
(`qa/routing_sim`). docs/explanation/routing.md explains the rule, and what each parameter is worth.
"""

from tollgate.processor.routing.decision import Decision, Route, Wait
from tollgate.processor.routing.estimator import Chance
from tollgate.processor.routing.pace import Pace
from tollgate.processor.routing.policy import Policy
from tollgate.processor.routing.provider_state import BreakerChange, Outcome
from tollgate.processor.routing.router import Router

__all__ = ["BreakerChange", "Chance", "Decision", "Outcome", "Pace", "Policy", "Route", "Router", "Wait"]
