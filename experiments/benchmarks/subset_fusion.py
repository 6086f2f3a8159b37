"""How long it takes to score every pair of a ladder of exposures: shared work against one fusion per pair.

Run ``python -m experiments.benchmarks.subset_fusion``. Baselines: the way of DHDRNet (OpenCV fuses each pair, writes it
as PNG, and each figure reads it again; here one figure), and OpenCV in memory. Both run on a sample of the pairs,
spread evenly, and are scaled to all of them; ours does all. The forms take turns; ``ratio`` is the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.measuring import clock, copy_bandwidth
from hdr.data.scenes import ProceduralScenes
from hdr.io.atomic import write_atomically
from hdr.ops.subset_fusion import SubsetFusion
from tasks.exposure_selection.ladder import Light, preview_ev, render
from tasks.exposure_selection.scoring import FIVE, reference_picture
from tasks.exposure_selection.subsets import all_subsets, ev_grid

SAMPLE = 37  # pairs that the baselines fuse in a round
NEEDS = 3 * 4 * 3  # bytes per pixel and pair that have to be read: two exposures and the reference, float32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=300, help="pixels, both sides")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    found = {device: pairs(device, options.size, options.rounds) for device in devices}
    growth = {
        f"{steps} exposures, {members} members": one(steps, members, options.size, options.rounds)
        for steps, members in ((10, 2), (19, 2), (37, 2), (19, 3), (37, 3), (19, 4))
    }
    console = Console(width=120)
    for device, rows in found.items():
        bound = NEEDS * options.size**2 * 666 / copy_bandwidth(device)
        table = Table("form", "s per scene", "ratio", "ms per pair", "% of bound", title=f"666 pairs, {device}")
        for name, row in rows.items():
            table.add_row(
                name,
                f"{row['seconds']:.3f}",
                f"{row['ratio']:.1f}",
                f"{row['seconds'] / 0.666:.2f}",
                f"{100 * bound / row['seconds']:.1f}",
            )
        console.print(table)
    table = Table("candidates", "count", "s", "ms each", title="growth, cpu")
    for name, row in growth.items():
        table.add_row(
            name, f"{row['count']:.0f}", f"{row['seconds']:.2f}", f"{1e3 * row['seconds'] / row['count']:.2f}"
        )
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"peak memory of the process {peak:.0f} MB; {torch.get_num_threads()} threads")
    if options.json:
        with write_atomically(options.json) as temporary:
            temporary.write_text(json.dumps({"pairs": found, "growth": growth, "peak_mb": peak}, indent=1))


def pairs(device: str, size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds per scene of each form, and the ratio to the first."""
    evs = ev_grid(-3, 6, 0.25)
    stack, reference = exposures(evs, size)
    subsets = all_subsets(evs, 2)
    sample = subsets[:: -(-len(subsets) // SAMPLE)].tolist()
    frames = [np.ascontiguousarray((x * 255).round().permute(1, 2, 0).numpy()) for x in stack]
    goal = reference.permute(1, 2, 0).numpy()
    merge = cv2.createMergeMertens()
    on_device, wanted = stack.to(device), reference.to(device)

    def by_files() -> torch.Tensor:
        errors = []
        for a, b in sample:
            fused = np.clip(merge.process([frames[a], frames[b]]) * 255, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / "fused.png"), fused)
            again = np.asarray(cv2.imread(str(folder / "fused.png"))).astype(np.float32) / 255
            errors.append(float(((again - goal) ** 2).mean()))
        return torch.tensor(errors)

    def in_memory() -> torch.Tensor:
        fused = [merge.process([frames[a], frames[b]]) for a, b in sample]
        return torch.tensor([float(((np.clip(picture, 0, 1) - goal) ** 2).mean()) for picture in fused])

    def shared() -> torch.Tensor:
        return SubsetFusion(on_device).mse(subsets, wanted)

    whole = len(subsets) / len(sample)
    forms: dict[str, tuple[Callable[[], torch.Tensor], float]] = {
        "OpenCV, through PNG files": (by_files, whole),
        "OpenCV in memory": (in_memory, whole),
        "ours": (shared, 1.0),
    }
    times: dict[str, list[float]] = {name: [] for name in forms}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for turn in range(rounds + 1):
            for form, (call, factor) in forms.items():
                seconds = clock(call, device) * factor
                if turn:  # the first round compiles and warms up
                    times[form].append(seconds)
    first = times["OpenCV, through PNG files"]
    return {
        form: {
            "seconds": median(values),
            "ratio": median(a / b for a, b in zip(first, values, strict=True)),
        }
        for form, values in times.items()
    }


def one(steps: int, members: int, size: int, rounds: int) -> dict[str, float]:
    """Seconds for all subsets of a ladder, measured on some 500 of them and scaled."""
    evs = ev_grid(-3, 6, 9 / (steps - 1))
    stack, reference = exposures(evs, size)
    subsets = all_subsets(evs, members)
    some = subsets[:: max(1, len(subsets) // 500)]
    seconds = median(clock(lambda: SubsetFusion(stack).mse(some, reference), "cpu") for _ in range(min(rounds, 3)))
    return {"count": float(len(subsets)), "seconds": seconds * len(subsets) / len(some)}


def exposures(evs: list[float], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ladder of one generated scene, with noise, and the five-shot reference."""
    scene = ProceduralScenes(1, (size, size), first=1).scene(0, np.random.default_rng(0))
    light = Light(linear=torch.from_numpy(scene.linear), id="scene", group="scene", shot=1e-5, read=1e-8)
    anchor, chance = preview_ev(light), torch.Generator().manual_seed(0)
    stack, five = (render(light, steps, anchor, generator=chance) for steps in (evs, FIVE))
    reference = reference_picture("five", "opencv", five=five, dense=stack, linear=light.linear)
    return stack, reference


if __name__ == "__main__":
    main()
