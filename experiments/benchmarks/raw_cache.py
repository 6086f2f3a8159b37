"""How many 256 x 256 crops of RAW photographs a second: decoded each time, against slices of the tensor cache.

Run ``python -m experiments.benchmarks.raw_cache [FILE ...]``; without files, on DNG files of generated scenes of 12 MP.
Baseline: development at half size by LibRaw, the fastest way to a picture that LibRaw has. One process, files and
entries in the page cache; the forms take turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from hdr.data.cache import Entry, read_index
from hdr.data.captures import read_binned, read_capture
from hdr.data.decode import Decode, PhotoDecode, SensorDecode
from hdr.data.manifest import Record
from hdr.data.photos import PhotoDataset
from hdr.data.prepare import prepare
from hdr.data.scenes import ProceduralScenes
from hdr.io import read_image
from hdr.io.atomic import write_atomically
from hdr.io.dng import write_dng
from hdr.io.sensor import SensorImage, read_sensor
from hdr.ops.sensor import capture

CROP = 256
WINDOWS = 50  # read from every entry in a round
BASELINE = "LibRaw, half size"

Crop = Callable[[int, np.random.Generator], torch.Tensor]  # of file number so and so, at a random place


def make_files(folder: Path, count: int, size: tuple[int, int] = (3000, 4000)) -> list[Path]:
    """DNG files (12 bit, lossless JPEG) of generated scenes, a quarter of the size, enlarged, with noise."""
    scenes = ProceduralScenes(count, (size[0] // 4, size[1] // 4))
    generator = torch.Generator().manual_seed(7)
    paths = []
    for index in range(count):
        linear = torch.from_numpy(scenes.scene(index, np.random.default_rng(index)).linear)[None]
        linear = functional.interpolate(linear, size, mode="bilinear")
        samples = capture(
            linear * (0.15 / linear.mean()), pattern="RGGB", black_level=256.0, white_level=4095.0, shot=2e-4,
            read=1e-6, generator=generator,
        )  # fmt: skip
        image = SensorImage(
            samples=samples[0, 0].to(torch.int32).to(torch.uint16),
            pattern="RGGB",
            black_level=(256.0,) * 4,
            white_level=4095,
            white_balance=(2.0, 1.0, 1.6),
            colour_matrix=torch.tensor([[0.7, -0.2, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.5]], dtype=torch.float64),
            exposure_time=0.01,
            aperture=4.0,
            iso=100.0,
        )
        paths.append(folder / f"{index}.dng")
        write_dng(paths[-1], image)
    return paths


def forms(files: Sequence[Path], folder: Path) -> dict[str, tuple[Crop, int]]:
    """Every form, and how many crops it takes from a file in a round."""
    records = [Record(id=f"{index:04d}", paths={"input": path}) for index, path in enumerate(files)]

    def cached(name: str, decode: Decode) -> list[Path]:
        summary = prepare(records, folder / name, decode, workers=1)
        if summary.failed:
            raise SystemExit(f"cannot be read: {dict(summary.failed)}")
        return [record.paths["cache"] for record in read_index(folder / name)]

    mosaics, planes = cached("mosaic", SensorDecode()), cached("binned", SensorDecode(binned=True))
    cached("photos", PhotoDecode())
    photos = PhotoDataset(read_index(folder / "photos"), ("input",), crop=CROP)

    def developed(index: int, rng: np.random.Generator, half_size: bool) -> torch.Tensor:
        pixels = read_image(files[index], half_size=half_size).pixels
        top, left = place(pixels.shape[-2:], rng)
        return pixels[..., top : top + CROP, left : left + CROP]

    def values(index: int, rng: np.random.Generator) -> torch.Tensor:
        samples = read_sensor(files[index]).samples
        top, left = place(tuple(samples.shape), rng)
        return samples[top : top + CROP, left : left + CROP].clone()

    def mosaic_slice(index: int, rng: np.random.Generator) -> torch.Tensor:
        with Entry(mosaics[index]) as entry:
            return read_capture(entry, (*place(entry.shape("input"), rng), CROP, CROP)).samples

    def binned_slice(index: int, rng: np.random.Generator) -> torch.Tensor:
        with Entry(planes[index]) as entry:
            return read_binned(entry, (*place(entry.shape("input")[-2:], rng), CROP, CROP)).planes

    return {
        BASELINE: (lambda index, rng: developed(index, rng, True), 1),
        "LibRaw, full size": (lambda index, rng: developed(index, rng, False), 1),
        "sensor values of the file": (values, 1),
        "cache: slice of the mosaic": (mosaic_slice, WINDOWS),
        "cache: slice of binned planes": (binned_slice, WINDOWS),
        "cache: slice of the developed photo, as float": (lambda i, rng: photos.sample(i, rng)["input"], WINDOWS),
    }


def place(size: Sequence[int], rng: np.random.Generator) -> tuple[int, int]:
    """An even top and left at which a crop fits."""
    return int(rng.integers((size[0] - CROP) // 2 + 1)) * 2, int(rng.integers((size[1] - CROP) // 2 + 1)) * 2


def measure(files: Sequence[Path], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Crops per second of each form, one figure a round."""
    found = forms(files, folder)
    speeds: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(rounds + 1):
        for name, (crop, count) in found.items():
            rng = np.random.default_rng(turn)
            start = time.perf_counter()
            for index in range(len(files)):
                for _ in range(count):
                    assert crop(index, rng).shape[-2:] == (CROP, CROP)
            if turn:  # the first round fills the page cache
                speeds[name].append(len(files) * count / (time.perf_counter() - start))
    return speeds


def show(speeds: Mapping[str, Sequence[float]]) -> None:
    """Print the table."""
    table = Table(title=f"crops of {CROP} x {CROP} per second, medians; ratio in the same round", title_justify="left")
    for heading in ("form", "crops/s", "spread", "ratio"):
        table.add_column(heading, justify="left" if heading == "form" else "right", no_wrap=True)
    for name, values in speeds.items():
        ratio = median(own / base for own, base in zip(values, speeds[BASELINE], strict=True))
        table.add_row(name, told(median(values)), f"{told(min(values))}-{told(max(values))}", told(ratio))
    Console(width=110).print(table)


def told(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="RAW files; default: DNG files made for the run")
    parser.add_argument("--count", type=int, default=4, help="files to make")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, after one to warm up")
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures; replaces a file there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files or make_files(Path(folder), arguments.count)
        speeds = measure(files, Path(folder), arguments.rounds)
    show(speeds)
    if arguments.json:
        with write_atomically(arguments.json) as temporary:
            temporary.write_text(json.dumps(speeds, indent=2) + "\n")


if __name__ == "__main__":
    main()
