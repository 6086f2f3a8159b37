"""How fast pictures go through the simulated camera, batched, against the same steps in numpy one by one; and JPEG.

The sensor: exposure, Bayer mosaic, noise, clip and rounding to 12 bits, black level, white balance, Malvar demosaicing,
colour matrix. The camera: the same, a tone curve, rounding to 8 bits.

Run ``python -m experiments.benchmarks.camera_pipeline``; the README beside this file says how to read the tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.nn.functional import interpolate

from experiments.benchmarks import numpy_steps
from experiments.benchmarks.measuring import Traffic, clock, copy_bandwidth, save_record
from hdr.ops.camera import quantise
from hdr.ops.jpeg import jpeg
from hdr.ops.jpeg_differentiable import jpeg_differentiable
from hdr.ops.noise import noise_profile_of_iso
from hdr.ops.response import Response, apply_response
from hdr.ops.sensor import capture, develop, normalise

BLACK, WHITE = (256.0, 257.0, 255.0, 256.0), 4095.0
WHITE_BALANCE = (2.0, 1.0, 1.6)
MATRIX = ((1.6, -0.5, -0.1), (-0.2, 1.5, -0.3), (0.0, -0.5, 1.5))
SHOULDER, CONTRAST = 0.4, 1.2
BYTES_FUSED = 24  # per pixel: read and write three float32 values


@dataclass(frozen=True)
class Batch:
    """Light, and what each picture is taken with."""

    linear: Tensor
    ev: Tensor
    shot: Tensor
    read: Tensor
    quality: Tensor
    generator: torch.Generator
    rng: np.random.Generator


@dataclass(frozen=True)
class Measurement:
    """One form at one size."""

    form: str
    size: int
    device: str
    pictures_per_second: float
    slowest: float
    fastest: float
    ratio: float
    bytes_per_pixel: float | None
    percent_of_bandwidth_bound: float


def make_batch(count: int, size: int, device: str) -> Batch:
    """Smooth light with texture, up to three times the full well."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand((count, 3, 12, 12), generator=generator)
    texture = 1 + 0.2 * torch.randn((count, 3, size, size), generator=generator)
    linear = interpolate(coarse, (size, size), mode="bilinear", align_corners=False) ** 2 * texture.clamp(min=0)
    iso = torch.logspace(2, 4, count)
    shot, read = noise_profile_of_iso(iso, full_well=20_000.0, read_before=2.0, read_after=8.0)
    return Batch(
        linear.to(device),
        torch.linspace(-2.0, 1.5, count).to(device),
        shot.to(device),
        read.to(device),
        torch.linspace(60.0, 98.0, count).round().to(device),
        torch.Generator(device).manual_seed(1),
        np.random.default_rng(1),
    )


def batched_sensor(batch: Batch) -> Tensor:
    """Capture and development of the batch: light to linear RGB."""
    raw = capture(
        batch.linear,
        pattern="RGGB",
        black_level=BLACK,
        white_level=WHITE,
        ev=batch.ev,
        shot=batch.shot,
        read=batch.read,
        straight_through=True,
        generator=batch.generator,
    )
    matrix = torch.tensor(MATRIX, device=raw.device)
    return develop(normalise(raw, BLACK, WHITE), pattern="RGGB", white_balance=WHITE_BALANCE, matrix=matrix)


def batched_camera(batch: Batch) -> Tensor:
    """The same, and on to 8-bit display values."""
    display = apply_response(batched_sensor(batch).clamp(0.0, 1.0), Response(SHOULDER, CONTRAST))
    return quantise(display, straight_through=True)


def camera_one_by_one(batch: Batch) -> Tensor:
    """The same functions picture by picture, as a data loader calls them."""
    pictures = zip(*(t.split(1) for t in (batch.linear, batch.ev, batch.shot, batch.read)), strict=True)
    names = ("linear", "ev", "shot", "read")
    return torch.cat([batched_camera(replace(batch, **dict(zip(names, own, strict=True)))) for own in pictures])


def camera_gradient(batch: Batch) -> Tensor:
    """The whole camera, forwards and backwards to the exposure of each picture."""
    ev = batch.ev.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(batched_camera(replace(batch, ev=ev)).square().mean(), ev)[0]


def numpy_sensor(batch: Batch) -> Tensor:
    """The same in numpy, picture by picture."""
    return torch.from_numpy(np.stack(list(_developed_by_numpy(batch))))


def numpy_camera(batch: Batch) -> Tensor:
    """Likewise, and on to 8-bit display values."""
    pictures = (numpy_steps.display(linear, SHOULDER, CONTRAST) for linear in _developed_by_numpy(batch))
    return torch.from_numpy(np.stack(list(pictures)))


def _developed_by_numpy(batch: Batch) -> Iterator[np.ndarray]:
    lights, evs, shots, reads = (t.cpu().numpy() for t in (batch.linear, batch.ev, batch.shot, batch.read))
    for i, light in enumerate(lights):
        sites = numpy_steps.exposed_sites(light, evs[i])
        noisy = numpy_steps.with_noise(sites, shots[i], reads[i], batch.rng)
        yield numpy_steps.developed(numpy_steps.digitised(noisy, BLACK, WHITE), BLACK, WHITE, WHITE_BALANCE, MATRIX)


def libjpeg(batch: Batch) -> Tensor:
    """Through files in memory, one by one on the CPU, each with its quality."""
    return jpeg(batch.linear, [int(q) for q in batch.quality.tolist()])


def ours(batch: Batch) -> Tensor:
    """The differentiable form, forwards."""
    return jpeg_differentiable(batch.linear, batch.quality)


def kornias(batch: Batch) -> Tensor:
    """Kornia's differentiable JPEG, forwards."""
    from kornia.enhance import jpeg_codec_differentiable

    return jpeg_codec_differentiable(batch.linear.clamp(0.0, 1.0), batch.quality)


def _with_gradient(form: Callable[[Batch], Tensor]) -> Callable[[Batch], Tensor]:
    def run(batch: Batch) -> Tensor:
        linear = batch.linear.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(form(replace(batch, linear=linear)).square().mean(), linear)[0]

    return run


# form -> (what it is measured against, function); the first of each group is its own reference
FORMS: dict[str, tuple[str, Callable[[Batch], Tensor]]] = {
    "sensor, numpy one by one": ("sensor, numpy one by one", numpy_sensor),
    "sensor, batched": ("sensor, numpy one by one", batched_sensor),
    "camera, numpy one by one": ("camera, numpy one by one", numpy_camera),
    "camera, one by one": ("camera, numpy one by one", camera_one_by_one),
    "camera, batched": ("camera, numpy one by one", batched_camera),
    "camera, batched, with gradient": ("camera, numpy one by one", camera_gradient),
    "JPEG, libjpeg": ("JPEG, libjpeg", libjpeg),
    "JPEG, differentiable": ("JPEG, libjpeg", ours),
    "JPEG, Kornia's": ("JPEG, libjpeg", kornias),
    "JPEG, differentiable, with gradient": ("JPEG, libjpeg", _with_gradient(ours)),
    "JPEG, Kornia's, with gradient": ("JPEG, libjpeg", _with_gradient(kornias)),
}
OUTSIDE_TORCH = (numpy_sensor, numpy_camera, libjpeg)


def measure(count: int, size: int, device: str, repetitions: int) -> list[Measurement]:
    """Every form in turn, ``repetitions`` times over, so that a disturbance meets all of them."""
    batch = make_batch(count, size, device)
    pixels = count * size * size
    seconds: dict[str, list[float]] = {form: [] for form in FORMS}
    traffic: dict[str, float | None] = {}
    with torch.no_grad():
        for form, (_, function) in FORMS.items():
            with Traffic() as counter:
                function(batch)
            traffic[form] = None if function in OUTSIDE_TORCH else counter.bytes / pixels
        for _ in track(range(repetitions), f"{count} pictures of {size} x {size} on {device}"):
            for form, (_, function) in FORMS.items():
                seconds[form].append(clock(lambda function=function: function(batch), device))  # type: ignore[misc]
        bandwidth = copy_bandwidth(device)
    bound = BYTES_FUSED * pixels / bandwidth
    return [
        Measurement(
            form=form,
            size=size,
            device=device,
            pictures_per_second=count / median(seconds[form]),
            slowest=count / max(seconds[form]),
            fastest=count / min(seconds[form]),
            ratio=median(a / b for a, b in zip(seconds[reference], seconds[form], strict=True)),
            bytes_per_pixel=traffic[form],
            percent_of_bandwidth_bound=100 * bound / median(seconds[form]),
        )
        for form, (reference, _) in FORMS.items()
    ]


def largest_differences(device: str) -> str:
    """Whether the forms compute the same: 8-bit levels, the largest and the mean, with next to no noise."""
    batch = make_batch(4, 96, device)
    silent = replace(batch, shot=torch.zeros_like(batch.shot), read=torch.zeros_like(batch.read))
    pairs = {
        "camera against numpy": (batched_camera(silent), numpy_camera(silent)),
        "JPEG against libjpeg": (ours(batch), libjpeg(batch)),
        "Kornia's JPEG against libjpeg": (kornias(batch), libjpeg(batch)),
    }
    apart = {name: ((a.cpu() - b.cpu()) * 255).abs() for name, (a, b) in pairs.items()}
    return "; ".join(f"{name}: {d.max():.2g}, mean {d.mean():.2g}" for name, d in apart.items())


def show(measurements: list[Measurement], count: int) -> None:
    """Print the table."""
    table = Table(title=f"batches of {count}; ratio: against numpy, or libjpeg, in the same round, median")
    for column in ("form", "size", "device", "pictures/s", "spread", "ratio", "B/px", "% of bound"):
        table.add_column(column, justify="left" if column == "form" else "right", no_wrap=True)
    for row in measurements:
        table.add_row(
            row.form,
            str(row.size),
            row.device,
            f"{row.pictures_per_second:.0f}",
            f"{row.slowest:.0f}-{row.fastest:.0f}",
            f"{row.ratio:.2g}",
            "-" if row.bytes_per_pixel is None else f"{row.bytes_per_pixel:.0f}",
            f"{row.percent_of_bandwidth_bound:.2g}",
        )
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table)
    console.print(f"bound: {BYTES_FUSED} B/px, light in and display out, at the copy bandwidth measured in the run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="pixels along a side")
    parser.add_argument("--batch", type=int, default=16, help="pictures at a time")
    parser.add_argument("--repetitions", type=int, default=7, help="rounds per size, after one to warm up")
    parser.add_argument("--device", choices=["cpu", "cuda"], nargs="+", default=None, help="default: all at hand")
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures; replaces a file there")
    arguments = parser.parse_args()
    devices = arguments.device or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    measurements = [
        row
        for device in devices
        for size in arguments.sizes
        for row in measure(arguments.batch, size, device, arguments.repetitions)
    ]
    show(measurements, arguments.batch)
    for device in devices:
        Console().print(f"8-bit levels apart, {device}: {largest_differences(device)}")
    if arguments.json:
        save_record(arguments.json, [asdict(row) for row in measurements])


if __name__ == "__main__":
    main()
