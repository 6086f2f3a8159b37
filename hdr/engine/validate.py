"""Validation during training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device

from hdr.data.loader import make_loader
from hdr.data.subset import Subset, spread
from hdr.engine.randomness import derive_seed
from hdr.engine.task import Networks, Stage, Task


def validate(
    task: Task,
    networks: Networks,
    accelerator: Accelerator,
    stage: Stage,
    picture: Callable[[str, torch.Tensor], None] | None,
) -> dict[str, float]:
    """Means over the validation split of what ``task.validation_step`` gives, each sample counted once."""
    settings = task.config["trainer"]
    samples = task.dataset("val", stage)
    chosen = spread(len(samples), settings["validation_samples"])
    # fewer samples than processes: each process takes all of them, which leaves the means as they are
    shared = len(chosen) >= accelerator.num_processes
    loader = make_loader(
        Subset(samples, chosen),
        seed=derive_seed(int(task.config["seed"]), "split", 1),
        batch_size=max(1, stage.batch_size // (accelerator.num_processes * settings["accumulate"])),
        workers=settings["workers"],
        rank=accelerator.process_index if shared else 0,
        world_size=accelerator.num_processes if shared else 1,
        train=False,
    )
    sums: dict[str, torch.Tensor] = {}
    count = 0
    for batch in loader:
        batch = send_to_device(batch, accelerator.device)
        with accelerator.autocast():
            figures = task.validation_step(networks, batch, stage)
        for name, values in figures.items():
            sums[name] = (
                sums.get(name, torch.zeros((), dtype=torch.float64, device="cpu")) + values.double().sum().cpu()
            )
        if picture and count == 0 and accelerator.is_main_process:
            for name, pictures in task.validation_pictures(networks, batch).items():
                picture(f"val/{name}", pictures[0])
        count += len(next(iter(figures.values())))
    total = torch.stack([*sums.values(), torch.tensor(float(count), dtype=torch.float64)]).to(accelerator.device)
    total = accelerator.reduce(total, reduction="sum")
    return {name: float(total[i] / total[-1]) for i, name in enumerate(sums)}
