"""The picture on the README's first screen: ``python -m experiments.pictures docs/before-after.jpg``.

Generated scenes that the shipped package has not seen, photographed two to three stops too dark, and what ``upe`` makes
of them; all through the library's own camera and model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hdr.data.exposure_pairs import ExposurePairs, ExposureSettings
from hdr.data.scenes import SceneSource
from hdr.data.sources import procedural
from hdr.engine.package import load_weights, read_package_config, shipped_package
from hdr.io.atomic import write_atomically
from tasks.upe.model import Enhancer
from tasks.upe.task import build_model

SIZE = (300, 400)  # height and width of one picture


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path, help="where to write it (.jpg)")
    parser.add_argument("--scenes", type=int, nargs="+", default=[6, 3, 9], help="scenes of the test split")
    arguments = parser.parse_args()
    package = shipped_package("tasks.upe.task.Upe")
    model = build_model(read_package_config(package)["model"])
    load_weights(package, {"model": model})
    source = procedural(split="test", train=0, val=0, test=max(arguments.scenes) + 1, size=SIZE)
    columns = [column(model.eval(), source, index) for index in arguments.scenes]
    sheet = torch.cat(columns, dim=2)
    pixels = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(arguments.picture) as temporary:
        Image.fromarray(pixels).save(temporary, quality=88)


@torch.no_grad()
def column(model: Enhancer, source: SceneSource, index: int) -> torch.Tensor:
    """Before above after, (3, 2 H, W)."""
    settings = ExposureSettings(ev=(-3.0, -2.0), identity=0.0, identity_night=0.0)
    photo = ExposurePairs(source, settings).sample(index, np.random.default_rng(index))["input"]
    return torch.cat([photo, model(photo[None]).output[0]], dim=1)


if __name__ == "__main__":
    main()
