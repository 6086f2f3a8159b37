"""The picture on the README's first screen: ``python -m experiments.pictures PANORAMAS docs/before-after.jpg``.

Views of panoramas that the shipped package was not trained on (its test split), photographed two and three stops too
dark, and what ``upe`` makes of them; all through the library's own camera and model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hdr.data.exposure_pairs import ExposurePairs, ExposureSettings
from hdr.data.scenes import SceneSource
from hdr.data.sources import panoramas
from hdr.engine.package import load_weights, read_package_config, shipped_package
from hdr.io.atomic import write_atomically
from tasks.upe.model import Enhancer
from tasks.upe.task import build_model

SIZE = (300, 400)
RATIOS = {"train": 0.7, "val": 0.15, "test": 0.15}


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("panoramas", help="folder with equirectangular .hdr or .exr files")
    parser.add_argument("picture", type=Path, help="where to write it (.jpg)")
    parser.add_argument("--seed", type=int, default=3, help="which way the camera looks")
    arguments = parser.parse_args()
    package = shipped_package("tasks.upe.task.Upe")
    model = build_model(read_package_config(package)["model"])
    load_weights(package, {"model": model})
    source = panoramas(split="test", root=arguments.panoramas, views=4, size=SIZE, ratios=RATIOS)
    columns = [column(model.eval(), source, index, arguments.seed) for index in range(min(3, len(source)))]
    sheet = torch.cat(columns, dim=2)
    pixels = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(arguments.picture) as temporary:
        Image.fromarray(pixels).save(temporary, quality=88)


@torch.no_grad()
def column(model: Enhancer, source: SceneSource, index: int, seed: int) -> torch.Tensor:
    """Before above after, (3, 2 H, W)."""
    ev = -2.0 - index % 2
    settings = ExposureSettings(ev=(ev, ev), identity=0.0, srgb=1.0, jpeg=1.0)
    photo = ExposurePairs(source, settings).sample(index, np.random.default_rng(seed))["input"]
    return torch.cat([photo, model(photo[None]).output[0]], dim=1)


if __name__ == "__main__":
    main()
