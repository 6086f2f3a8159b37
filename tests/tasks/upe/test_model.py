"""The assembled enhancer: identity at the start, any part like the whole, any size the same tone, learning, export."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hdr.errors import UserError
from hdr.ops.bilateral import slice_apply
from hdr.ops.colour import luminance
from hdr.ops.encoding import srgb_to_linear
from hdr.ops.resize import resize_antialiased
from tasks.upe.model import Enhancer, EnhancerOutput, _enlarge

SMALL = {"net_size": 32, "grid_size": 8, "depth": 4}

VARIANTS: dict[str, dict[str, Any]] = {
    "log_gain": {},
    "display": {"head": {"kind": "log_gain", "domain": "display", "colour_stops": 0.0}},
    "division": {"head": {"kind": "division"}, "guide": {"kind": "curves"}},
    "affine": {"head": {"kind": "affine"}},
    "seed": {
        "network": {**SMALL, "batch_norm": True},
        "guide": {"kind": "pointwise", "activation": "tanh", "batch_norm": True},
        "head": {"kind": "division", "eps": 1e-4, "constrained": False, "clamp": True},
        "convention": "corner",
        "thumbnail": "bilinear",
    },
    "pyramid": {"levels": 3},
    "pyramid-affine": {"levels": 3, "head": {"kind": "affine"}},
    "everything": {"affine": True, "lut": {"kind": "curves"}, "network": {**SMALL, "histogram_bins": 8}},
    "cube": {"affine": True, "lut": {"kind": "cube", "size": 5}},
}


def _variant(name: str, *, scrambled: bool = True) -> Enhancer:
    torch.manual_seed(3)
    enhancer = Enhancer(**{"network": SMALL, **VARIANTS[name]}).eval()
    if scrambled:
        _scramble(enhancer)
    return enhancer


def _scramble(enhancer: Enhancer, spread: float = 0.05) -> None:
    """Leave the identity: what a trained network has, but at random."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        prediction = enhancer.network.prediction
        prediction.weight.normal_(0, spread, generator=generator)
        if enhancer.lut is not None:
            for parameter in enhancer.lut.parameters():
                parameter.normal_(0, 0.1, generator=generator)


def _picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_new_enhancer_changes_nothing(name: str) -> None:
    display = _picture(2, 3, 45, 61)
    output = _variant(name, scrambled=False)(display).output
    if "division" in str(VARIANTS[name]):
        torch.testing.assert_close(output, display, atol=1.01e-3, rtol=0)  # I / (1 + eps)
    else:
        torch.testing.assert_close(output, display, atol=2e-7, rtol=0)


def test_the_default_starts_as_the_exact_identity() -> None:
    levels = torch.arange(256).div(255)
    display = torch.cat([levels.repeat(1, 3, 40, 1), _picture(1, 3, 40, 100)], dim=3)
    enhancer = Enhancer()
    assert torch.equal(enhancer(display).output, display)
    with torch.no_grad():
        assert torch.equal(enhancer(display).output, display)


@pytest.mark.parametrize("name", VARIANTS)
def test_strength_zero_returns_the_input_exactly(name: str) -> None:
    display = _picture(1, 3, 23, 31)
    enhancer = _variant(name)
    assert not torch.allclose(enhancer(display).output, display, atol=0.01), "the variant does nothing to compare with"
    assert torch.equal(enhancer(display, 0.0).output, display)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("size", [(37, 53), (1, 1), (5, 130)])
def test_strips_are_the_whole(name: str, size: tuple[int, int]) -> None:
    enhancer = _variant(name)
    display = _picture(2, 3, *size)
    with torch.no_grad():
        whole = enhancer(display, 0.7).output
    strips = list(enhancer.strips(display, rows=11, strength=0.7))
    assert [first for first, _ in strips] == list(range(0, size[0], 11))
    torch.testing.assert_close(torch.cat([strip for _, strip in strips], dim=2), whole, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_with_and_without_gradients_alike(name: str) -> None:
    enhancer = _variant(name)
    display = _picture(1, 3, 29, 47)
    recorded = enhancer(display)
    assert recorded.guide is not None
    assert recorded.guide.shape == (1, 1, 29, 47)
    with torch.no_grad():
        plain = enhancer(display)
    torch.testing.assert_close(plain.output, recorded.output, atol=3e-6, rtol=0)
    torch.testing.assert_close(plain.field, recorded.field, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_batch_is_a_loop_over_its_items(name: str) -> None:
    enhancer = _variant(name)
    display = _picture(3, 3, 18, 27)
    whole: EnhancerOutput = enhancer(display)
    for item in range(3):
        torch.testing.assert_close(
            whole.output[item : item + 1], enhancer(display[item : item + 1]).output, atol=3e-6, rtol=0
        )
    picture = enhancer.illumination(display, whole.field)
    assert picture.shape == display.shape
    assert 0 <= picture.min() <= picture.max() <= 1


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name: str) -> None:
    enhancer = _variant(name).train()
    display = _picture(4, 3, 40, 40)
    F.mse_loss(enhancer(display).output, display.sqrt()).backward()
    for parameter_name, parameter in enhancer.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert (parameter.grad != 0).any(), parameter_name


def test_learns_an_exposure_from_the_identity() -> None:
    torch.manual_seed(0)
    enhancer = Enhancer(network={"net_size": 32, "grid_size": 4, "depth": 4})
    bright = 0.2 + 0.6 * _picture(4, 3, 24, 24)
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
    enhancer = _variant("pyramid-affine")
    display = _picture(1, 3, 44, 28)
    grid, _ = enhancer.network(enhancer.thumbnail(display))
    half = resize_antialiased(display, (22, 14))
    quarter = resize_antialiased(half, (11, 7))
    total: torch.Tensor = slice_apply(grid[:, :12], enhancer.guides[2](quarter), quarter)
    for part, guide, picture in (
        (grid[:, 12:24], enhancer.guides[1], half),
        (grid[:, 24:], enhancer.guides[0], display),
    ):
        larger = F.interpolate(total, picture.shape[2:], mode="bilinear", align_corners=False)
        total = larger + slice_apply(part, guide(picture), picture)
    torch.testing.assert_close(enhancer(display).field, total, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("small", "large"), [((5, 7), (11, 15)), ((1, 1), (3, 2)), ((4, 3), (4, 3))])
def test_enlarging_is_bilinear(small: tuple[int, int], large: tuple[int, int]) -> None:
    values, like = _picture(2, 3, *small), torch.zeros(2, 3, *large)
    expected = F.interpolate(values, large, mode="bilinear", align_corners=False)
    torch.testing.assert_close(_enlarge(values, like), expected, atol=1e-6, rtol=0)
    rows = _enlarge(values, like[:, :, 1:3], row_offset=1, full_height=large[0])
    torch.testing.assert_close(rows, expected[:, :, 1:3], atol=1e-6, rtol=0)


# What the network sees ------------------------------------------------------------------------------------------------


def test_bilinear_thumbnail_is_opencvs() -> None:
    import cv2

    display = _picture(1, 3, 61, 83)
    expected = cv2.resize(display[0].permute(1, 2, 0).numpy(), (32, 32), interpolation=cv2.INTER_LINEAR)
    found = _variant("seed").thumbnail(display)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)  # OpenCV rounds its weights


def test_nearest_thumbnail_takes_the_pixel_below_the_centre() -> None:
    enhancer = Enhancer(network=SMALL, thumbnail="nearest")
    display = _picture(1, 3, 96, 160)
    assert torch.equal(enhancer.thumbnail(display), display[:, :, 1::3, 2::5])


def test_smooth_thumbnail_is_a_binomial_of_the_antialiased_one() -> None:
    plain = Enhancer(network=SMALL, thumbnail="antialiased")
    display = _picture(1, 3, 61, 83)
    small = np.pad(plain.thumbnail(display)[0].double().numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    expected = np.zeros((3, 32, 32))
    for dy, wy in enumerate((0.25, 0.5, 0.25)):
        for dx, wx in enumerate((0.25, 0.5, 0.25)):
            expected += wy * wx * small[:, dy : dy + 32, dx : dx + 32]
    np.testing.assert_allclose(Enhancer(network=SMALL).thumbnail(display)[0].numpy(), expected, atol=1e-6)


def _reductions(display: torch.Tensor, long_edge: int) -> list[torch.Tensor]:
    """The same photo made small in the ways that people and programs make photos small."""
    height, width = display.shape[2:]
    factor = long_edge / max(height, width)
    size = (round(height * factor), round(width * factor))
    bicubic = F.interpolate(display, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return [F.interpolate(display, size, mode="area"), resize_antialiased(display, size), bicubic]


def _tone(display: torch.Tensor) -> torch.Tensor:
    """Luminance in EV of a 64 x 64 reduction: what is left of a picture when its size no longer shows."""
    small = resize_antialiased(display, (64, 64))
    return luminance(srgb_to_linear(small)).clamp(min=1e-3).log2()


def _largest_size_difference(enhancer: Enhancer, photo: torch.Tensor) -> float:
    """Mean difference in EV between the results at full size and at 512 px, for the worst way to reduce the photo."""
    with torch.no_grad():
        full = _tone(enhancer(photo).output)
        return max(abs((_tone(enhancer(small).output) - full).mean().item()) for small in _reductions(photo, 512))


def _strong_enhancer(thumbnail: Any = "smooth") -> Enhancer:
    """Random but strong: its gains vary by stops with what it sees."""
    torch.manual_seed(11)
    enhancer = Enhancer(network={"histogram_bins": 16}, thumbnail=thumbnail).eval()
    _scramble(enhancer, 0.2)
    return enhancer


def test_tone_does_not_depend_on_the_size_of_a_noisy_photo() -> None:
    generator = torch.Generator().manual_seed(2)
    scene = F.interpolate(torch.rand(1, 3, 9, 13, generator=generator), (960, 1440), mode="bicubic").clamp(0.02, 0.9)
    texture = 0.12 * torch.sin(torch.arange(1440) * 1.9) * torch.cos(torch.arange(960)[:, None] * 2.3)
    noise = 0.025 * torch.randn(1, 3, 960, 1440, generator=generator)
    photo = (scene * 0.5 + texture * scene + noise).clamp(0, 1)
    enhancer = _strong_enhancer()
    with torch.no_grad():
        assert enhancer(photo).field.std() > 0.3, "too weak to tell"
        found = enhancer.coefficients(photo)
        for small in _reductions(photo, 512):
            # Only the coefficients are compared: in the result, averaging noise before or after a gain is not the same.
            field = enhancer.render(small, found).field
            assert (enhancer(small).field - field).abs().mean() < 0.01
    assert _largest_size_difference(enhancer, photo) < 0.1


@pytest.mark.slow
def test_tone_does_not_depend_on_the_size_of_real_photos(shared_data: Path) -> None:
    from PIL import Image, ImageOps

    paths = sorted((shared_data / "camera-jpegs").rglob("*.jpg"))[::6] + sorted(
        (shared_data / "photos-cc0").glob("*.png")
    )
    assert paths
    enhancer = _strong_enhancer()
    for path in paths:
        pixels = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        photo = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
        if max(photo.shape[2:]) >= 900:
            assert _largest_size_difference(enhancer, photo) < 0.03, path.name


# Export ---------------------------------------------------------------------------------------------------------------


def _onnx_difference(enhancer: Enhancer, opset: int, strength: float = 1.0) -> float:
    onnxruntime = pytest.importorskip("onnxruntime")
    example = _picture(1, 3, 48, 64)
    form = enhancer.export_form(strength, opset=opset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of their own future
        if opset >= 18:
            program = torch.onnx.export(
                form, (example,), dynamo=True, opset_version=opset, dynamic_shapes=({2: "h", 3: "w"},), verbose=False
            )
            assert program is not None
            model = program.model_proto.SerializeToString()
        else:
            stream = io.BytesIO()
            axes = {"display": {2: "h", 3: "w"}}
            torch.onnx.export(
                form,
                (example,),
                stream,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=opset,
                input_names=["display"],
                dynamic_axes=axes,
            )
            model = stream.getvalue()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    differences = []
    for size in ((48, 64), (131, 87)):
        display = _picture(1, 3, *size, seed=5)
        with torch.no_grad():
            expected = enhancer(display, strength).output.numpy()
        found = session.run(None, {session.get_inputs()[0].name: display.numpy()})[0]
        differences.append(float(np.abs(found - expected).max()))
    return max(differences)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "opset"),
    [("log_gain", 18), ("log_gain", 17), ("everything", 18), ("cube", 18), ("pyramid", 18), ("seed", 18)],
)
def test_exported_model_agrees_at_two_sizes(name: str, opset: int) -> None:
    enhancer = _variant(name)
    if name == "seed":  # a division by next to nothing would magnify rounding
        enhancer.network.prediction.weight.data *= 0.1
    assert _onnx_difference(enhancer, opset, strength=0.8) < 1e-5


def test_export_form_is_a_copy_that_agrees() -> None:
    enhancer = _variant("everything").train()
    form = enhancer.export_form()
    assert enhancer.training
    assert not enhancer.portable
    display = _picture(1, 3, 21, 34)
    torch.testing.assert_close(form(display), enhancer.eval()(display).output, atol=3e-6, rtol=0)
    older = enhancer.export_form(0.0, opset=16)
    assert torch.equal(older(display), display)
    with pytest.raises(UserError, match="opset: 15"):
        enhancer.export_form(opset=15)


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
    enhancer = _variant("everything")
    display = _picture(1, 3, 33, 41)
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

    enhancer = _variant("everything")
    save_file(enhancer.state_dict(), tmp_path / "model.safetensors")
    other = Enhancer(**{"network": SMALL, **VARIANTS["everything"]}).eval()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    display = _picture(1, 3, 20, 20)
    assert torch.equal(other(display).output, enhancer(display).output)


def test_modules_are_found_by_their_names() -> None:
    names = {name.split(".")[0] for name in _variant("everything").state_dict()}
    assert names == {"network", "guides", "lut"}
    assert isinstance(_variant("log_gain").guides, nn.ModuleList)
