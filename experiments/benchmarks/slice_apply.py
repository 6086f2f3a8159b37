"""How fast slice-and-apply is, and how much memory it takes, against the same step done operation by operation.

Run ``python -m experiments.benchmarks.slice_apply``; the README beside this file says how to read the table.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from experiments.benchmarks.measuring import clock, copy_bandwidth, save_record
from hdr.ops import _bilateral_torch
from hdr.ops._bilateral_lookup import Lookup
from hdr.ops.bilateral import slice_apply
from hdr.ops.guide import CurveGuide, PointwiseGuide

GRID = (12, 8, 16, 16)  # coefficients, depths, rows, columns
HIDDEN, HINGES = 16, 16
EPSILON = 1e-4
PIXELS_PER_STRIP = 1 << 21
BYTES_FUSED = 24  # read and write three float32 values
FLOP_FUSED = 430  # guide 181, coordinates and weights 27, blend 192, affine 18, division 12
# Read and written by the separate operations: guide 102 values, coordinates 30, slice 15, affine 54, division 21.
BYTES_SEPARATE = 4 * (102 + 30 + 15 + 54 + 21)


@dataclass(frozen=True)
class Scene:
    """One picture with a grid and both guides."""

    image: Tensor
    grid: Tensor
    pointwise: PointwiseGuide
    curve: CurveGuide


@dataclass(frozen=True)
class Measurement:
    """Times of one form at one size."""

    form: str
    megapixels: float
    device: str
    milliseconds: float
    fastest: float
    slowest: float
    ratio: float
    percent_of_bandwidth_bound: float
    peak_megabytes: float | None
    largest_difference: float | None


def make_scene(megapixels: float, device: str) -> Scene:
    """A smooth picture of 4:3 with noise on it; a grid around the constant map 1/2."""
    generator = torch.Generator().manual_seed(7)
    height = max(1, round(math.sqrt(megapixels * 1e6 * 3 / 4)))
    width = max(1, round(height * 4 / 3))
    smooth = torch.rand((1, 3, 45, 60), generator=generator)
    image = functional.interpolate(smooth, (height, width), mode="bilinear", align_corners=False)
    image += 0.02 * torch.randn(image.shape, generator=generator)
    grid = 0.1 * torch.randn((1, *GRID), generator=generator)
    grid[:, 3::4] += 0.5
    pointwise = PointwiseGuide(
        w1=torch.randn((HIDDEN, 3), generator=generator),
        b1=0.1 * torch.randn(HIDDEN, generator=generator),
        w2=0.3 * torch.randn(HIDDEN, generator=generator),
        b2=torch.zeros(1),
        activation="tanh",
    )
    curve = CurveGuide(
        matrix=torch.eye(3) + 0.01 * torch.randn((3, 3), generator=generator),
        bias=torch.zeros(3),
        shifts=(torch.arange(HINGES) / HINGES).repeat(3, 1),
        slopes=torch.cat([torch.ones(3, 1), 0.05 * torch.randn((3, HINGES - 1), generator=generator)], 1),
        mix=torch.full((3,), 1 / 3),
        mix_bias=torch.zeros(1),
    )
    return Scene(
        image.clamp_(0, 1).to(device),
        grid.to(device),
        replace(pointwise, **{name: getattr(pointwise, name).to(device) for name in ("w1", "b1", "w2", "b2")}),
        CurveGuide(*(tensor.to(device) for tensor in curve.tensors())),
    )


def separate_operations(scene: Scene) -> Tensor:
    """The step as a chain of full-size operations: guide, mesh, 5-D sampling, affine rows, division, clamp."""
    image, grid, weights = scene.image, scene.grid, scene.pointwise
    height, width = image.shape[2:]
    hidden = functional.conv2d(image, weights.w1[:, :, None, None], weights.b1).relu()
    guide = functional.conv2d(hidden, weights.w2[None, :, None, None], weights.b2).tanh()
    y, x = torch.meshgrid(
        torch.arange(height, device=image.device), torch.arange(width, device=image.device), indexing="ij"
    )
    place = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1, guide[0, 0]], -1)
    planes = functional.grid_sample(grid, place[None, None], align_corners=True, padding_mode="border").squeeze(2)
    rows = [(planes[:, 4 * row : 4 * row + 3] * image).sum(1) + planes[:, 4 * row + 3] for row in range(3)]
    return (image / (torch.stack(rows, 1) + EPSILON)).clamp(0, 1)


def fused_pointwise(scene: Scene) -> Tensor:
    """The same step in strips: guide network inside the loops, division on the strip."""
    return _in_strips(scene, scene.pointwise)


def fused_curve(scene: Scene) -> Tensor:
    """The same with the curve guide instead of the network."""
    return _in_strips(scene, scene.curve)


def _in_strips(scene: Scene, guide: PointwiseGuide | CurveGuide) -> Tensor:
    height, width = scene.image.shape[2:]
    result = torch.empty_like(scene.image)
    size = max(1, PIXELS_PER_STRIP // width)
    for first in range(0, height, size):
        rows = scene.image[:, :, first : first + size]
        affine = slice_apply(scene.grid, guide, rows, convention="corner", row_offset=first, full_height=height)
        torch.div(rows, affine.add_(EPSILON), out=result[:, :, first : first + size]).clamp_(0, 1)
    return result


def slice_only(scene: Scene) -> Tensor:
    """Slice and apply alone, guide network inside the loops."""
    return slice_apply(scene.grid, scene.pointwise, scene.image, convention="corner")


def portable(scene: Scene) -> Tensor:
    """The same step in the form that serves other devices and precisions than float32 on the CPU."""
    lookup = Lookup("corner", 3, True, 0, scene.image.shape[2])
    affine = _bilateral_torch.forward(scene.grid, scene.pointwise(scene.image), scene.image, lookup)
    return torch.div(scene.image, affine.add_(EPSILON), out=affine).clamp_(0, 1)


def separate_training(scene: Scene) -> Tensor:
    """Guide, slice, affine and division by separate operations, forwards and backwards to grid and guide weights."""
    return _with_gradient(scene, separate_operations)


def fused_training(scene: Scene) -> Tensor:
    """The same with slice and affine fused."""

    def step(inner: Scene) -> Tensor:
        affine = slice_apply(inner.grid, inner.pointwise, inner.image, convention="corner")
        return (inner.image / (affine + EPSILON)).clamp(0, 1)

    return _with_gradient(scene, step)


def _with_gradient(scene: Scene, step: Callable[[Scene], Tensor]) -> Tensor:
    leaves = [tensor.detach().requires_grad_() for tensor in (scene.grid, *scene.pointwise.tensors())]
    w1, b1, w2, b2 = leaves[1:]
    with torch.enable_grad():
        out = step(Scene(scene.image, leaves[0], PointwiseGuide(w1, b1, w2, b2, "tanh"), scene.curve))
        gradients = torch.autograd.grad(out.square().mean(), leaves)
    return gradients[0]


# form -> (what it is measured against, function); the first of each pair is its own reference
FORMS: dict[str, tuple[str, Callable[[Scene], Tensor]]] = {
    "separate operations": ("separate operations", separate_operations),
    "fused, guide network": ("separate operations", fused_pointwise),
    "fused, curve guide": ("separate operations", fused_curve),
    "slice and apply only": ("separate operations", slice_only),
    "portable form": ("separate operations", portable),
    "training, separate": ("training, separate", separate_training),
    "training, fused": ("training, separate", fused_training),
}
SAME_RESULT = ("fused, guide network", "portable form", "training, fused")


def measure(megapixels: float, device: str, repetitions: int, memory: bool) -> list[Measurement]:
    """Every form in turn, ``repetitions`` times over, so that a disturbance meets all of them."""
    scene = make_scene(megapixels, device)
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    results = {}
    with torch.no_grad():
        for form in SAME_RESULT:
            reference = FORMS[FORMS[form][0]][1](scene)
            results[form] = ((FORMS[form][1](scene) - reference).abs().max() / reference.abs().max()).item()
        for repetition in track(range(repetitions + 1), f"{megapixels:g} MP on {device}"):
            for form, (_, function) in FORMS.items():
                seconds = clock(lambda function=function: function(scene), device)  # type: ignore[misc]
                if repetition:  # the first round warms up
                    times[form].append(1e3 * seconds)
        bandwidth = copy_bandwidth(device)
    bound = 1e3 * BYTES_FUSED * scene.image[0, 0].numel() / bandwidth
    return [
        Measurement(
            form=form,
            megapixels=scene.image[0, 0].numel() / 1e6,
            device=device,
            milliseconds=median(times[form]),
            fastest=min(times[form]),
            slowest=max(times[form]),
            ratio=median(a / b for a, b in zip(times[reference], times[form], strict=True)),
            percent_of_bandwidth_bound=100 * bound / median(times[form]),
            peak_megabytes=_peak_memory(form, megapixels, device) if memory else None,
            largest_difference=results.get(form),
        )
        for form, (reference, _) in FORMS.items()
    ]


def _peak_memory(form: str, megapixels: float, device: str) -> float | None:
    """Megabytes that the form needs beyond its inputs, result included, measured in a process of its own."""
    if device == "cpu" and not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, "-m", __spec__.name, "--peak-memory-of", form, "--device", device]
    finished = subprocess.run(
        [*command, "--megapixels", str(megapixels)], check=True, capture_output=True, text=True, timeout=600
    )
    return float(finished.stdout)


def _report_peak_memory(form: str, megapixels: float, device: str) -> None:
    function = FORMS[form][1]
    with torch.no_grad():
        function(make_scene(0.01, device))  # libraries, compiled loops and thread stacks are not the form's own need
        scene = make_scene(megapixels, device)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            start = torch.cuda.memory_allocated()
            function(scene)
            used = torch.cuda.max_memory_allocated() - start
        else:
            Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
            start = _status("VmRSS")
            function(scene)
            used = _status("VmHWM") - start
    sys.stdout.write(f"{used / 1e6:.1f}\n")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def show(measurements: list[Measurement]) -> None:
    """Print the table."""
    table = Table(title="ratio: against the separate operations (or separate training) in the same round, median")
    for column in ("form", "MP", "device", "ms", "spread ms", "ratio", "ns/px", "% of bound", "peak MB", "difference"):
        table.add_column(column, justify="left" if column == "form" else "right", no_wrap=True)
    for row in measurements:
        table.add_row(
            row.form,
            f"{row.megapixels:.3g}",
            row.device,
            f"{row.milliseconds:.1f}",
            f"{row.fastest:.1f}-{row.slowest:.1f}",
            f"{row.ratio:.1f}",
            f"{row.milliseconds / row.megapixels:.2f}",
            f"{row.percent_of_bandwidth_bound:.1f}",
            "-" if row.peak_megabytes is None else f"{row.peak_megabytes:.0f}",
            "-" if row.largest_difference is None else f"{row.largest_difference:.1e}",
        )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(
        f"bytes per pixel: fused {BYTES_FUSED}, separate {BYTES_SEPARATE}; arithmetic {FLOP_FUSED} FLOP per pixel; "
        f"bound: {BYTES_FUSED} B/px at the copy bandwidth measured in the run"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.065, 1, 12], help="picture sizes")
    parser.add_argument("--repetitions", type=int, default=5, help="rounds per size, after one to warm up")
    parser.add_argument("--device", choices=["cpu", "cuda"], nargs="+", default=None, help="default: all at hand")
    parser.add_argument("--no-memory", action="store_true", help="skip the memory runs, a process for each form")
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures; replaces a file there")
    parser.add_argument("--peak-memory-of", choices=list(FORMS), default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    devices = arguments.device or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if arguments.peak_memory_of:
        _report_peak_memory(arguments.peak_memory_of, arguments.megapixels[0], devices[0])
        return
    measurements = [
        row
        for device in devices
        for megapixels in arguments.megapixels
        for row in measure(megapixels, device, arguments.repetitions, not arguments.no_memory)
    ]
    show(measurements)
    if arguments.json:
        save_record(arguments.json, [asdict(row) for row in measurements])


if __name__ == "__main__":
    main()
