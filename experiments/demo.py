"""``make demo``: the lab in one command. Trains ``upe`` on generated scenes, evaluates it, corrects photographs.

Each step is a command that you could type yourself; it is printed before it runs. An interrupted demo starts over with
a new run folder, and whatever was there stays.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Run the demo below ``runs/demo``."""
    folder = Path("runs/demo") / f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
    photos = folder / "photos"
    started = time.monotonic()
    step("1. Train on generated scenes", "+experiment=upe/quickstart", f"hydra.run.dir={folder}/train")
    package = folder / "train" / "package"
    step(
        "2. Evaluate beside baselines and oracles",
        "+experiment=upe/quickstart",
        "mode=evaluate",
        f"checkpoint={package}",
        f"output={folder}/evaluation",
        f"hydra.run.dir={folder}/evaluation",
    )
    console.print(
        "\n[bold]3. Correct photographs[/bold] (four underexposed ones and a night scene, made for this demo)"
    )
    write_photos(photos)
    for name, checkpoint in (("shipped", None), ("trained-now", package)):
        step(
            f"   with the {name.replace('-', ' ')} model",
            "mode=predict",
            f"input={photos}",
            f"output={folder}/corrected-{name}",
            "side_by_side=true",
            f"hydra.run.dir={folder}/predict-{name}",
            *([f"checkpoint={checkpoint}"] if checkpoint else []),
        )
    console.print(f"\n[bold]Done[/bold] in {(time.monotonic() - started) / 60:.1f} minutes. Look at:")
    console.print(f"  {folder}/evaluation/panel.jpg                 best, median and worst test scenes")
    console.print(f"  {folder}/evaluation/results.md                the table above, for papers")
    console.print(f"  {folder}/corrected-shipped/*-side-by-side.jpg photo, result, illumination")
    console.print("\nYour own photos: python -m tasks.upe mode=predict input=FOLDER output=corrected/")


def step(title: str, *arguments: str) -> None:
    """Show and run one command; end with its status if it fails."""
    console.print(f"\n[bold]{title}[/bold]\n  $ python -m tasks.upe {' '.join(arguments)}\n")
    status = subprocess.run([sys.executable, "-m", "tasks.upe", *arguments]).returncode
    if status:
        sys.exit(status)


def write_photos(folder: Path) -> None:
    """Photographs as a camera would have written them: generated scenes, some of them with too little exposure."""
    from hdr.data.exposure_pairs import ExposurePairs, ExposureSettings
    from hdr.data.sources import procedural
    from hdr.io.image import write_image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    source = procedural(split="test", train=0, val=0, test=32, size=(480, 640))
    dark = ExposurePairs(source, ExposureSettings(ev=(-3.5, -1.5), identity=0.0))
    night = ExposurePairs(source, ExposureSettings(identity_night=1.0))
    scenes = [source.scene(index, rng) for index in range(len(source))]
    for index in [index for index, scene in enumerate(scenes) if not scene.night][:4]:
        write_image(folder / f"dark-{index}.jpg", dark.sample(index, rng)["input"], encoding="display")
    for index in [index for index, scene in enumerate(scenes) if scene.night][:1]:
        write_image(folder / f"night-{index}.jpg", night.sample(index, rng)["input"], encoding="display")


if __name__ == "__main__":
    main()
