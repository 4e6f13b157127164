"""Applies the faults of a plan to a running environment, and heals them."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from qa.chaos.clock import now_us
from qa.chaos.environment import TOKEN, Environment
from qa.chaos.plan import SIMULATORS, Fault
from qa.chaos.proxy import Mode
from qa.load.client import NoAnswerError, Pool
from tollgate.simulator.faults import Faults

ADMIN_SECONDS_MAX = 1.0
"""A stopped or missing simulator does not get its fault."""
HEAL_SECONDS_MAX = 20.0
CALM: Mapping[str, float | bool] = {"delay_ms": 0, "failing": False}
_FAULTS = tuple(one.name for one in fields(Faults))


_SIGNALS = {"kill": signal.SIGKILL, "restart": signal.SIGTERM, "stop": signal.SIGSTOP}


class HealingError(Exception):
    """A simulator's faults could not be reset, so the run cannot be judged."""


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that was tried; `took` is whether it had an effect, `target` what it was for at that moment."""

    fault: Fault
    took: bool
    target: str = ""
    at_us: int = 0


@dataclass(slots=True)
class Injector:
    """Runs the faults, each as a task, and records which had an effect."""

    environment: Environment
    traits: Mapping[str, float] = field(default_factory=dict)
    """Faults of the simulators that stay on in every mood."""
    done: list[Done] = field(default_factory=list)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)
    _newest: dict[str, Fault] = field(default_factory=dict)
    """The latest fault by target. A fault that was replaced by a later one does not heal the later one."""

    async def run(self, faults: tuple[Fault, ...]) -> None:
        """Starts the faults at their times. Returns when the last has begun."""
        began = time.monotonic()
        for fault in faults:
            await asyncio.sleep(max(0.0, began + fault.at_seconds - time.monotonic()))
            task = asyncio.ensure_future(self._suffer(fault))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def heal(self) -> None:
        """Ends every fault. Raises HealingError."""
        for task in tuple(self._ending):
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        for link in self.environment.links.values():
            await link.set(Mode.PASS)
        for disk in self.environment.disks.values():
            disk.empty()
        for clock in self.environment.clocks.values():
            clock.set(0.0)
        for program in self.environment.programs:
            self.environment.signal(program, signal.SIGCONT)
        for simulator in SIMULATORS:
            await self._calm_for_sure(simulator)

    def led_at_us(self) -> list[int]:
        """When the faults began that hit the leader of a replicated log."""
        return [one.at_us for one in self.done if one.took and one.target != one.fault.target]

    async def _suffer(self, planned: Fault) -> None:
        fault = replace(planned, target=await self.environment.resolve(planned.target))
        self._newest[f"{fault.kind} {fault.target}"] = fault
        at_us = now_us()
        took = await self._begin(fault)
        self.done.append(Done(planned, took, fault.target, at_us))
        if took and fault.seconds:
            await asyncio.sleep(fault.seconds)
            if self._newest[f"{fault.kind} {fault.target}"] is fault:
                await self._end(fault)

    async def _begin(self, fault: Fault) -> bool:
        match fault.kind:
            case "kill" | "restart" | "stop":
                return self.environment.signal(fault.target, _SIGNALS[fault.kind])
            case "link":
                for link in self.environment.links_of(fault.target):
                    await link.set(fault.mode)
                return True
            case "processor":
                return await self._set_mood(fault.target, fault.mood, fault.seconds)
            case "disk":
                await asyncio.to_thread(self.environment.disks[fault.target].fill)
                return True
            case "clock":
                self.environment.clocks[fault.target].set(fault.offset_seconds)
                return True

    async def _end(self, fault: Fault) -> None:
        match fault.kind:
            case "kill" | "restart":
                return
            case "stop":
                self.environment.signal(fault.target, signal.SIGCONT)
            case "link":
                for link in self.environment.links_of(fault.target):
                    await link.set(Mode.PASS)
            case "processor":
                await self._set_mood(fault.target, CALM, 0.0)
            case "disk":
                self.environment.disks[fault.target].empty()
            case "clock":
                self.environment.clocks[fault.target].set(0.0)

    async def _calm_for_sure(self, simulator: str) -> None:
        deadline = time.monotonic() + HEAL_SECONDS_MAX
        while not await self._set_mood(simulator, CALM, 0.0):
            if time.monotonic() > deadline:
                raise HealingError(f"{simulator} does not answer")
            await asyncio.sleep(0.2)

    async def _set_mood(self, simulator: str, mood: Mapping[str, float | bool], seconds: float) -> bool:
        """Sets all switches of a simulator; those that the mood does not name are off."""
        switches: list[tuple[str, object]] = [
            ("configurations/delay", {"delay": int(mood.get("delay_ms", 0))}),
            ("configurations/failure", {"failure": bool(mood.get("failing", False))}),
            ("faults", {name: mood.get(name, self.traits.get(name, 0.0)) for name in _FAULTS}),
        ]
        if mood.get("closed"):
            switches.append(("listening", {"seconds": seconds}))
        origin = self.environment.simulators[simulator.removeprefix("simulator-")]
        pool = Pool(origin, 1)
        try:
            for path, value in switches:
                message = origin.request(
                    "PUT", f"/admin/{path}", json.dumps(value).encode(), (("X-Rinha-Token", TOKEN),)
                )
                if (await pool.ask(message, ADMIN_SECONDS_MAX)).status != 200:
                    return False
        except NoAnswerError:
            return False
        finally:
            pool.close()
        return True
