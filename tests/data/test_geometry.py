"""Geometry: the same for all images of a sample, to the pixel, and values above 1 untouched."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch

from hdr.data.geometry import Geometry, build_geometry, crop_and_flip
from hdr.errors import UserError

EXACT: list[list[dict[str, Any]]] = [
    [{"name": "HorizontalFlip", "p": 1}],
    [{"name": "VerticalFlip", "p": 1}],
    [{"name": "Transpose", "p": 1}],
    [{"name": "RandomRotate90", "p": 1}],
    [{"name": "D4", "p": 1}],
    [{"name": "RandomCrop", "height": 20, "width": 31}],
    [{"name": "CenterCrop", "height": 21, "width": 30}],
    [{"name": "RatioCrop", "ratio": [0.5, 0.9]}],
]
RESAMPLED: list[list[dict[str, Any]]] = [
    crop_and_flip(32),
    [{"name": "Rotate", "limit": [-15, 15], "p": 1}],
    [{"name": "Perspective", "p": 1}],
    [{"name": "Affine", "scale": [0.8, 1.2], "shear": [-5, 5], "p": 1}],
    [{"name": "Resize", "height": 17, "width": 19}],
]
# The augmentation of hermosayhl/DeepUPE_pytorch, pipeline.py, with reflected instead of black corners.
SEED: list[dict[str, Any]] = [
    {
        "name": "Sequential",
        "p": 0.9,
        "transforms": [
            {
                "name": "RandomOrder",
                "transforms": [
                    {"name": "HorizontalFlip", "p": 0.5},
                    {"name": "RatioCrop", "ratio": [0.75, 0.95], "p": 0.8},
                    {"name": "Rotate", "limit": [-15, 15], "p": 0.1},
                ],
            }
        ],
    },
    {"name": "Resize", "height": 24, "width": 24},
]


def coordinates(height: int = 41, width: int = 53) -> torch.Tensor:
    """(3, H, W) whose pixels hold their own row, column and a value far above 1."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, 1000.0 - rows * 7 + columns / 3]).float()


@pytest.mark.parametrize("transforms", EXACT)
def test_exact_transforms_move_pixels_and_change_none(transforms: list[dict[str, Any]]) -> None:
    image = coordinates()
    for seed in range(10):
        moved = build_geometry(transforms)({"x": image}, np.random.default_rng(seed))["x"]
        rows, columns = moved[0].long(), moved[1].long()
        assert torch.equal(moved, image[:, rows, columns])
        assert moved.is_contiguous()


@pytest.mark.parametrize("transforms", [*EXACT, *RESAMPLED, SEED])
def test_images_and_masks_of_all_types_stay_aligned(transforms: list[dict[str, Any]]) -> None:
    geometry = build_geometry(transforms)
    image = coordinates() * 4
    sample = {
        "input": image,
        "target": image.clone(),
        "counts": image[:2].to(torch.int32).to(torch.uint16),
        "bytes": image[:2].to(torch.uint8),
        "mask": (image[:1] // 16 % 2 == 0),
        "labels": image[1:2].to(torch.uint8),
    }
    for seed in range(10):
        done = geometry(sample, np.random.default_rng(seed), masks=("mask", "labels"))
        assert list(done) == list(sample)
        assert {name: t.dtype for name, t in done.items()} == {name: t.dtype for name, t in sample.items()}
        assert len({t.shape[-2:] for t in done.values()}) == 1
        assert [t.shape[0] for t in done.values()] == [3, 3, 2, 2, 1, 1]
        assert torch.equal(done["input"], done["target"])
        # Integers are rounded once more after interpolation; OpenCV interpolates with 5 to 11 bits of weight.
        assert (done["counts"].float() - done["input"][:2]).abs().max() <= 1.0
        # A mask holds the value of the nearest pixel: at most one pixel (4 units) from the interpolated coordinate,
        # and half an output pixel more where an area is averaged.
        scale = 4 * max(1.0, image.shape[-1] / done["input"].shape[-1])
        assert (done["labels"].float() - done["input"][1:2]).abs().max() <= scale + 1
        assert torch.equal(
            done["input"], geometry(sample, np.random.default_rng(seed), masks=("mask", "labels"))["target"]
        )


@pytest.mark.parametrize("transforms", [*EXACT, *RESAMPLED, SEED])
def test_bright_values_survive_and_dark_borders_do_not_appear(transforms: list[dict[str, Any]]) -> None:
    image = torch.full((3, 40, 50), 1000.0)
    for seed in range(10):
        done = build_geometry(transforms)({"x": image}, np.random.default_rng(seed))["x"]
        torch.testing.assert_close(done, torch.full_like(done, 1000.0), rtol=1e-6, atol=0)


def test_shrinking_averages_areas() -> None:
    image = torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(0)) * 50
    small = build_geometry([{"name": "Resize", "height": 16, "width": 12}])({"x": image}, np.random.default_rng(0))["x"]
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(image, 4), rtol=1e-5, atol=1e-5)


def test_parameters_follow_from_the_generator_alone() -> None:
    image = coordinates()
    geometry = build_geometry(SEED)
    first = [geometry({"x": image}, np.random.default_rng(seed))["x"] for seed in range(20)]
    random.seed(1)
    torch.manual_seed(1)
    fresh = [pickle.loads(pickle.dumps(geometry))({"x": image}, np.random.default_rng(seed))["x"] for seed in range(20)]
    assert all(torch.equal(a, b) for a, b in zip(first, fresh, strict=True))
    assert len({tuple(t.flatten().tolist()) for t in first}) > 15
    alone = geometry({"x": image}, np.random.default_rng(3))["x"]
    beside = geometry({"y": image, "x": image, "z": image}, np.random.default_rng(3))["x"]
    assert torch.equal(alone, beside)


def test_the_generator_moves_on() -> None:
    rng = np.random.default_rng(0)
    geometry = build_geometry([{"name": "RandomCrop", "height": 4, "width": 4}])
    crops = [geometry({"x": coordinates()}, rng)["x"][:2, 0, 0] for _ in range(20)]
    assert len({tuple(crop.tolist()) for crop in crops}) > 10


def test_a_ratio_crop_keeps_the_aspect_and_reaches_everywhere() -> None:
    geometry = build_geometry([{"name": "RatioCrop", "ratio": [0.75, 0.95]}])
    image = coordinates(200, 100)
    done = [geometry({"x": image}, np.random.default_rng(seed))["x"] for seed in range(300)]
    shares = [t.shape[1] / 200 for t in done]
    assert all(abs(t.shape[1] / 200 - t.shape[2] / 100) <= 0.0076 for t in done)  # both rounded to a pixel
    assert 0.745 <= min(shares) < 0.77
    assert 0.93 < max(shares) <= 0.955
    assert min(t[0].min() for t in done) == 0
    assert max(t[0].max() for t in done) == 199
    assert max(t[1].max() for t in done) == 99


def test_random_order_takes_all_members_unless_told_otherwise() -> None:
    flips = [{"name": "HorizontalFlip", "p": 1}, {"name": "VerticalFlip", "p": 1}]
    done = build_geometry([{"name": "RandomOrder", "transforms": flips}])(
        {"x": coordinates()}, np.random.default_rng(0)
    )
    assert torch.equal(done["x"], coordinates().flip(1, 2))


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (["flip"], r"geometry\[0\] is 'flip'; it must have a 'name'"),
        ([{"p": 1}], r"geometry\[0\] is \{'p': 1\}"),
        ([{"name": "GaussianBlur"}], r"'GaussianBlur' is not a geometric transform; accepted: Affine, "),
        (
            [{"name": "RandomCrop", "height": 4}],
            r"'RandomCrop' does not accept these parameters: width: Field required",
        ),
        ([{"name": "Resize", "height": 4, "width": 4, "sise": 3}], "'Resize' has no parameter 'sise'; it has height, "),
        ([{"name": "Rotate", "limit": "wide"}], "'Rotate' does not accept these parameters: limit: "),
        ([{"name": "Rotate", "interpolation": "best"}], "interpolation is 'best'; it is a word such as area"),
        ([{"name": "Rotate", "border_mode": "black"}], "border_mode is 'black'; it is a word such as reflect_101"),
        ([{"name": "RatioCrop", "ratio": [0.5, 2]}], r"ratio \(0.5, 2\) must be a rising range within 0 to 1"),
        ([{"name": "OneOf"}], "'OneOf' needs a list of 'transforms'"),
        ([{"name": "OneOf", "transforms": [{"name": "x"}]}], r"geometry\[0\]\.transforms\[0\]: 'x' is not a geometric"),
    ],
)
def test_mistakes_are_told_when_it_is_built(transforms: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_geometry(transforms)


def test_a_crop_larger_than_the_image_is_told() -> None:
    geometry = build_geometry([{"name": "RandomCrop", "height": 64, "width": 8}])
    with pytest.raises(UserError, match=r"Crop size .* \(the image is 41x53\); use a smaller crop"):
        geometry({"x": coordinates()}, np.random.default_rng(0))


def test_sizes_must_agree() -> None:
    geometry = Geometry([{"name": "HorizontalFlip"}])
    with pytest.raises(ValueError, match="images of one size"):
        geometry({"a": torch.zeros(3, 4, 5), "b": torch.zeros(3, 4, 6)}, np.random.default_rng(0))
    with pytest.raises(ValueError, match="one that is not a mask"):
        geometry({"a": torch.zeros(3, 4, 5)}, np.random.default_rng(0), masks=("a",))


def test_the_network_is_not_asked_for_a_newer_version(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    code = (
        "import socket; socket.socket.connect = lambda *a: (_ for _ in ()).throw(SystemExit(3))\n"
        "from hdr.data.geometry import build_geometry\n"
        "import sys; assert 'albumentations' not in sys.modules\n"
        "build_geometry([{'name': 'HorizontalFlip'}])"
    )
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
