"""Learning-rate schedules: a factor of the learning rate for each step of a stage.

All but :class:`Plateau` are pure functions of the step, so a resumed run needs nothing but its step number.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

from hdr.errors import UserError


class Constant:
    """Factor 1 after a linear warm-up over ``warmup_steps``."""

    def __init__(self, warmup_steps: int = 0) -> None:
        self.warmup_steps = warmup_steps

    def factor(self, step: int, total: int) -> float:
        """Factor for the update number ``step`` (from 0) of ``total``."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        return self._after_warmup(step, total)

    def _after_warmup(self, step: int, total: int) -> float:
        return 1.0

    def observe(self, improved: bool) -> None:
        """Hear whether the last validation improved on the best one before."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep; empty where the step number says it all."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""


class Cosine(Constant):
    """Half a cosine from 1 to ``final`` between warm-up and end (Loshchilov and Hutter 2017, without restarts)."""

    def __init__(self, warmup_steps: int = 0, final: float = 0.01) -> None:
        super().__init__(warmup_steps)
        self.final = final

    def _after_warmup(self, step: int, total: int) -> float:
        done = (step - self.warmup_steps) / max(1, total - 1 - self.warmup_steps)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Step(Constant):
    """``factors[i]`` from step ``milestones[i]`` on, 1 before the first."""

    def __init__(self, milestones: list[int], factors: list[float], warmup_steps: int = 0) -> None:
        super().__init__(warmup_steps)
        if len(milestones) != len(factors) or list(milestones) != sorted(set(milestones)):
            raise UserError(
                f"scheduler.milestones {list(milestones)} must rise strictly and have one entry per scheduler.factors "
                f"{list(factors)}"
            )
        self.milestones, self.factors = list(milestones), [1.0, *factors]

    def _after_warmup(self, step: int, total: int) -> float:
        return self.factors[bisect_right(self.milestones, step)]


class Plateau(Constant):
    """Multiply the factor by ``factor`` after ``patience`` validations in a row that did not improve."""

    def __init__(self, factor: float = 0.5, patience: int = 3, minimum: float = 1e-3, warmup_steps: int = 0) -> None:
        super().__init__(warmup_steps)
        self.reduction, self.patience, self.minimum = factor, patience, minimum
        self.current, self.waited = 1.0, 0

    def _after_warmup(self, step: int, total: int) -> float:
        return self.current

    def observe(self, improved: bool) -> None:
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.patience:
            self.current, self.waited = max(self.minimum, self.current * self.reduction), 0

    def state_dict(self) -> dict[str, Any]:
        return {"current": self.current, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.current, self.waited = float(state["current"]), int(state["waited"])
