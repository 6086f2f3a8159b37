"""Where the work is done: device and precision, through Accelerate."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from hdr.engine.config import Plain
from hdr.errors import UserError

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def pick_device(config: Plain) -> torch.device:
    """The device that ``device=`` asks for, if it is there."""
    asked = config["device"]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if available[name]))
    kind = asked.split(":")[0]
    if kind not in available:
        raise UserError(f"device: found '{asked}', accepted are auto, {', '.join(available)} and cuda:<number>")
    if not available[kind]:
        raise UserError(f"device: '{asked}' was asked for, but torch finds no such device here; use device=cpu or auto")
    return torch.device(asked)


def make_accelerator(config: Plain) -> Accelerator:
    """Accelerate for the configured device and precision, on this process's part of a distributed run."""
    precision = config["trainer"]["precision"]
    if precision not in PRECISIONS:
        raise UserError(f"trainer.precision: found '{precision}', accepted are {', '.join(PRECISIONS)}")
    device = pick_device(config)
    if precision == "fp16" and device.type == "cpu":
        raise UserError("trainer.precision: fp16 needs a GPU; use bf16 or fp32 on the CPU")
    if device.index is not None:
        torch.cuda.set_device(device)
    # Accelerate keeps its settings for the whole process; the members of a local sweep may differ in precision
    AcceleratorState._reset_state(reset_partial_state=False)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=PRECISIONS[precision],
        # a discriminator runs twice before one backward pass, and buffers must not be overwritten between
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
