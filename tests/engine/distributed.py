"""One rank of the tests with two processes; started by torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from hdr.engine.train import train
from tests.engine.toy import Lines, Pair, Toy, config


class Quiet(Toy):
    """Without dropout: ranks draw their own random numbers, so dropout could not agree with one process."""

    def networks(self) -> dict[str, torch.nn.Module]:
        return {"model": torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.ReLU(), torch.nn.Linear(32, 6))}


class Normed(Pair):
    """A discriminator with running statistics that is called twice before one backward pass; one validation sample."""

    def networks(self) -> dict[str, torch.nn.Module]:
        networks = super().networks()
        networks["discriminator"] = torch.nn.Sequential(
            torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1)
        )
        return networks

    def dataset(self, split: str, stage: Any = None) -> Lines:
        return super().dataset(split, stage) if split == "train" else Lines(1)


if __name__ == "__main__":
    settings = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in sys.argv[3:])}
    train({"quiet": Quiet, "normed": Normed}[sys.argv[1]](config(**settings)), Path(sys.argv[2]))
