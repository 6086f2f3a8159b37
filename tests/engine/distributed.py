"""One rank of the test that compares two processes with one; started by torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from hdr.engine.train import train
from tests.engine.toy import Toy, config


class Quiet(Toy):
    """Without dropout: ranks draw their own random numbers, so dropout could not agree with one process."""

    def networks(self) -> dict[str, torch.nn.Module]:
        return {"model": torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.ReLU(), torch.nn.Linear(32, 6))}


if __name__ == "__main__":
    settings = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in sys.argv[2:])}
    train(Quiet(config(**settings)), Path(sys.argv[1]))
