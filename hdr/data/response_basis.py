"""The lab's own basis of camera responses, forward and inverse: computed, stored beside this file, loaded.

``python -m hdr.data.response_basis measure CURVES`` says how well it describes the measured curves of a file in DoRF's
text form. ``python -m hdr.data.response_basis compute FILE`` computes it anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hdr.data.response_curves import family
from hdr.errors import UserError
from hdr.io.atomic import write_atomically
from hdr.io.crf_files import ResponseCurves, read_dorf, rgb_triplets
from hdr.ops.crf import inverse_curves
from hdr.ops.response_basis import Direction, Fit, ResponseBasis, fit, fit_basis

SHIPPED = Path(__file__).with_name("response_basis.safetensors")
COMPONENTS = 25
SEED = 0
CURVES = 4000
_SIZES = (0, 5, 11, COMPONENTS)


def compute_basis(seed: int = SEED, count: int = CURVES) -> dict[Direction, ResponseBasis]:
    """Both bases of ``COMPONENTS`` components, float32, from ``count`` curves of the family in ``response_curves``.

    The inverse basis is that of the inverted curves, not the inverse of the forward one.
    """
    forward = torch.from_numpy(family(np.random.default_rng(seed), count))
    return {
        "forward": fit_basis(forward, COMPONENTS, "forward").to("cpu", torch.float32),
        "inverse": fit_basis(inverse_curves(forward), COMPONENTS, "inverse").to("cpu", torch.float32),
    }


@cache
def shipped_basis(direction: Direction) -> ResponseBasis:
    """The basis that comes with the project: mean, 25 components and their deviations, float32.

    It was computed by :func:`compute_basis` with its defaults, from closed forms alone: no measured curve is in it.
    """
    tensors = load_file(SHIPPED)
    return ResponseBasis(
        mean=tensors[f"{direction}.mean"],
        components=tensors[f"{direction}.components"],
        deviations=tensors[f"{direction}.deviations"],
        direction=direction,
    )


def save_basis(path: Path, bases: dict[Direction, ResponseBasis]) -> None:
    """Write both bases as :func:`shipped_basis` reads them."""
    tensors = {}
    for direction, basis in bases.items():
        assert basis.deviations is not None
        tensors[f"{direction}.mean"] = basis.mean
        tensors[f"{direction}.components"] = basis.components
        tensors[f"{direction}.deviations"] = basis.deviations
    with write_atomically(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


class Measured(NamedTuple):
    """How well one basis of one size describes a set of curves."""

    direction: Direction
    components: int
    basis: str
    fit: Fit


def measure(curves: Tensor, groups: list[str]) -> Iterator[Measured]:
    """The shipped basis against bases fitted to the curves themselves; size 0 is the mean curve alone.

    ``shipped``: has seen none of the curves. ``own``: fitted to all of them, the best that a linear basis of this size
    can do. ``own, others``: each group (a film, say) is described by a basis fitted to the other groups. The last two
    are left out where the other groups have too few curves for the largest basis.

    Args:
        curves: forward curves (N, SAMPLES).
        groups: the group of each curve.
    """
    members = {name: torch.tensor([group == name for group in groups]) for name in dict.fromkeys(groups)}
    fitting = all(int((~chosen).sum()) > COMPONENTS for chosen in members.values())
    for direction in get_args(Direction):
        rows = curves.double() if direction == "forward" else inverse_curves(curves.double())
        shipped = shipped_basis(direction).to("cpu", torch.float64)
        if fitting:
            own = fit_basis(rows, COMPONENTS, direction)
            others = {name: fit_basis(rows[~chosen], COMPONENTS, direction) for name, chosen in members.items()}
        for size in _SIZES:
            yield Measured(direction, size, "shipped", fit(rows, shipped.first(size).nearest(rows)))
            if fitting:
                held_out = torch.empty_like(rows)
                for name, chosen in members.items():
                    held_out[chosen] = others[name].first(size).nearest(rows[chosen])
                yield Measured(direction, size, "own, others", fit(rows, held_out))
                yield Measured(direction, size, "own", fit(rows, own.first(size).nearest(rows)))


def print_measured(file: ResponseCurves) -> None:
    """The table of :func:`measure` for a file's curves, grouped by common names."""
    stems = {index: stem for stem, indices in rgb_triplets(file.names).items() for index in indices}
    groups = [stems.get(index, name) for index, name in enumerate(file.names)]
    print(f"{len(groups)} curves of {len(set(groups))} films or cameras; errors in units of a curve's full range")
    print(
        f"{'direction':10}{'components':>11}  {'basis':12}{'RMSE mean':>11}{'RMSE max':>11}{'variance explained':>20}"
    )
    for direction, components, basis, result in measure(file.curves, groups):
        figures = f"{result.rmse_mean:11.5f}{result.rmse_max:11.5f}{result.explained:20.4%}"
        print(f"{direction:10}{components:11}  {basis:12}{figures}")


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("measure").add_argument("curves", type=Path, help="dorfCurves.txt or a file of the same form")
    commands.add_parser("compute").add_argument("file", type=Path, help="a new .safetensors file")
    arguments = parser.parse_args()
    try:
        if arguments.command == "measure":
            print_measured(read_dorf(arguments.curves))
        elif arguments.file.exists():
            raise UserError(f"{arguments.file}: this file exists; name a new one")
        else:
            save_basis(arguments.file, compute_basis())
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
