"""Seeds that follow from the run's seed and a place in the run, so that nothing random needs to be stored."""

from __future__ import annotations

import numpy as np

DOMAINS = {"networks": 1, "step": 2, "split": 3, "loader": 4, "baselines": 5}


def derive_seed(seed: int, domain: str, *place: int) -> int:
    """A 63-bit seed for ``place`` (stage, step, rank ...) in a named domain; unrelated for any other place."""
    words = np.random.SeedSequence([seed, DOMAINS[domain], *place]).generate_state(2, np.uint32)
    return (int(words[0]) << 31 | int(words[1]) >> 1) & (2**63 - 1)
