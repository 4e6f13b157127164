"""Which payment processor gets a payment, and when. Pure: no I/O, no clock and no chance of its own.

Time comes in as monotonic seconds, chance as a seeded `random.Random`, so that whole days can be replayed
(`services/courses`). docs/routing.md explains the rule, and what each parameter is worth.
"""

from processor.routing.beliefs import Chance
from processor.routing.decision import Decision, Route, Wait
from processor.routing.lane import Outcome
from processor.routing.pace import Pace
from processor.routing.policy import Policy
from processor.routing.router import Router

__all__ = ["Chance", "Decision", "Outcome", "Pace", "Policy", "Route", "Router", "Wait"]
