"""The assembled enhancer: identity at the start, any part like the whole, strength, learning, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hdr.errors import UserError
from hdr.ops.bilateral import slice_apply
from hdr.ops.encoding import srgb_to_linear
from hdr.ops.resize import resize_antialiased
from tasks.upe.model import Enhancer, EnhancerOutput, _enlarge
from tests.tasks.upe.variants import SMALL, VARIANTS, picture, variant


@pytest.mark.parametrize("name", VARIANTS)
def test_a_new_enhancer_changes_nothing(name: str) -> None:
    display = picture(2, 3, 45, 61)
    output = variant(name, scrambled=False)(display).output
    if "division" in str(VARIANTS[name]):
        torch.testing.assert_close(output, display, atol=1.01e-3, rtol=0)  # I / (1 + eps)
    else:
        torch.testing.assert_close(output, display, atol=2e-7, rtol=0)


def test_the_default_starts_as_the_exact_identity() -> None:
    levels = torch.arange(256).div(255)
    display = torch.cat([levels.repeat(1, 3, 40, 1), picture(1, 3, 40, 100)], dim=3)
    enhancer = Enhancer()
    assert torch.equal(enhancer(display).output, display)
    with torch.no_grad():
        assert torch.equal(enhancer(display).output, display)


@pytest.mark.parametrize("name", VARIANTS)
def test_strength_zero_returns_the_input_exactly(name: str) -> None:
    display = picture(1, 3, 23, 31)
    enhancer = variant(name)
    assert not torch.allclose(enhancer(display).output, display, atol=0.01), "the variant does nothing to compare with"
    assert torch.equal(enhancer(display, 0.0).output, display)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("size", [(37, 53), (1, 1), (5, 130)])
def test_strips_are_the_whole(name: str, size: tuple[int, int]) -> None:
    enhancer = variant(name)
    display = picture(2, 3, *size)
    with torch.no_grad():
        whole = enhancer(display, 0.7).output
    strips = list(enhancer.strips(display, rows=11, strength=0.7))
    assert [first for first, _ in strips] == list(range(0, size[0], 11))
    torch.testing.assert_close(torch.cat([strip for _, strip in strips], dim=2), whole, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_with_and_without_gradients_alike(name: str) -> None:
    enhancer = variant(name)
    display = picture(1, 3, 29, 47)
    recorded = enhancer(display)
    assert recorded.guide is not None
    assert recorded.guide.shape == (1, 1, 29, 47)
    with torch.no_grad():
        plain = enhancer(display)
    torch.testing.assert_close(plain.output, recorded.output, atol=3e-6, rtol=0)
    torch.testing.assert_close(plain.field, recorded.field, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_batch_is_a_loop_over_its_items(name: str) -> None:
    enhancer = variant(name)
    display = picture(3, 3, 18, 27)
    whole: EnhancerOutput = enhancer(display)
    for item in range(3):
        torch.testing.assert_close(
            whole.output[item : item + 1], enhancer(display[item : item + 1]).output, atol=3e-6, rtol=0
        )
    light = enhancer.illumination(display, whole.field)
    assert light.shape == display.shape
    assert 0 <= light.min() <= light.max() <= 1


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name: str) -> None:
    enhancer = variant(name).train()
    display = picture(4, 3, 40, 40)
    F.mse_loss(enhancer(display).output, display.sqrt()).backward()
    for parameter_name, parameter in enhancer.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert (parameter.grad != 0).any(), parameter_name


def test_learns_an_exposure_from_the_identity() -> None:
    torch.manual_seed(0)
    enhancer = Enhancer(network={"net_size": 32, "grid_size": 4, "depth": 4})
    bright = 0.2 + 0.6 * picture(4, 3, 24, 24)
    dark = torch.from_numpy(_encode(srgb_to_linear(bright).double().numpy() / 4)).float()
    optimizer = torch.optim.Adam(enhancer.parameters(), lr=3e-3)
    before = F.mse_loss(dark, bright).item()
    for _ in range(50):
        optimizer.zero_grad()
        loss = F.mse_loss(enhancer(dark).output, bright)
        loss.backward()
        optimizer.step()
    assert loss.item() < before / 50
    with torch.no_grad():
        assert enhancer(dark).field.mean().item() == pytest.approx(2, abs=0.15)


def _encode(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


# The pyramid ----------------------------------------------------------------------------------------------------------


def test_pyramid_adds_up_from_coarse_to_fine() -> None:
    enhancer = variant("pyramid-affine")
    display = picture(1, 3, 44, 28)
    grid, _ = enhancer.network(enhancer.thumbnail(display))
    half = resize_antialiased(display, (22, 14))
    quarter = resize_antialiased(half, (11, 7))
    total: torch.Tensor = slice_apply(grid[:, :12], enhancer.guides[2](quarter), quarter)
    levels = ((grid[:, 12:24], enhancer.guides[1], half), (grid[:, 24:], enhancer.guides[0], display))
    for part, guide, level in levels:
        larger = F.interpolate(total, level.shape[2:], mode="bilinear", align_corners=False)
        total = larger + slice_apply(part, guide(level), level)
    torch.testing.assert_close(enhancer(display).field, total, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("small", "large"), [((5, 7), (11, 15)), ((1, 1), (3, 2)), ((4, 3), (4, 3))])
def test_enlarging_is_bilinear(small: tuple[int, int], large: tuple[int, int]) -> None:
    values, like = picture(2, 3, *small), torch.zeros(2, 3, *large)
    expected = F.interpolate(values, large, mode="bilinear", align_corners=False)
    torch.testing.assert_close(_enlarge(values, like), expected, atol=1e-6, rtol=0)
    rows = _enlarge(values, like[:, :, 1:3], row_offset=1, full_height=large[0])
    torch.testing.assert_close(rows, expected[:, :, 1:3], atol=1e-6, rtol=0)


# Options and inputs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guide": {"kind": "bilateral"}}, r"guide\.kind: 'bilateral' .* pointwise, curves"),
        ({"guide": {}}, r"guide\.kind: 'None'"),
        ({"head": {"kind": "retinex"}}, r"head\.kind: 'retinex' .* log_gain, division, affine"),
        ({"lut": {"kind": "4d"}}, r"lut\.kind: '4d' .* curves, cube"),
        ({"guide": {"kind": "pointwise", "points": 8}}, r"guide\.points: .* features, activation, batch_norm"),
        ({"lut": {"kind": "curves", "size": 9}}, r"lut\.size: .* which has points"),
        ({"levels": 0}, r"levels: 0"),
        ({"thumbnail": "lanczos"}, r"thumbnail: 'lanczos'"),
        ({"convention": "texel"}, r"convention: 'texel' .* centred or corner"),
        ({"network": {"net_size": 100}}, r"network\.net_size: 100"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Enhancer(**options)


def test_options_of_none_keep_their_default() -> None:
    enhancer = Enhancer(
        network=SMALL,
        guide={"kind": "pointwise", "features": None, "points": None},
        head={"kind": "log_gain", "eps": None},
        lut={"kind": None, "points": None},
    )
    assert enhancer.lut is None
    assert sum(parameter.numel() for parameter in enhancer.guides.parameters()) == 81


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        Enhancer(network=SMALL)(torch.zeros(shape))


def test_bfloat16_autocast_keeps_the_picture_in_full_precision() -> None:
    enhancer = variant("everything")
    display = picture(1, 3, 33, 41)
    with torch.no_grad():
        expected = enhancer(display, 1.0).output
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = enhancer(display, 1.0).output
            unchanged = enhancer(display, 0.0).output
    assert output.dtype == torch.float32
    assert torch.equal(unchanged, display)
    torch.testing.assert_close(output, expected, atol=0.03, rtol=0)


def test_state_survives_a_round_trip(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    enhancer = variant("everything")
    save_file(enhancer.state_dict(), tmp_path / "model.safetensors")
    other = Enhancer(**{"network": SMALL, **VARIANTS["everything"]}).eval()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    display = picture(1, 3, 20, 20)
    assert torch.equal(other(display).output, enhancer(display).output)


def test_modules_are_found_by_their_names() -> None:
    names = {name.split(".")[0] for name in variant("everything").state_dict()}
    assert names == {"network", "guides", "lut"}
    assert isinstance(variant("log_gain").guides, nn.ModuleList)
