"""Pairs of exposures: light ratios, identity, what the camera adds, settings, and what pictures they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hdr.data.exposure_pairs import ExposurePairs, ExposureSettings, read_noise
from hdr.data.scenes import ProceduralScenes, Scene
from hdr.errors import UserError
from hdr.ops.camera import auto_exposure

PLAIN: dict[str, Any] = {"noise": 0.0, "jpeg": 0.0, "srgb": 1.0, "tint": 0.0, "identity": 0.0, "identity_night": 0.0}


class Ramps:
    """Scenes of smooth colour ramps over nine stops."""

    def __init__(self, night: bool = False, key: float | None = None) -> None:
        self.night, self.key = night, key

    def __len__(self) -> int:
        return 20

    def scene(self, index: int, rng: np.random.Generator) -> Scene:
        y, x = np.mgrid[0:45, 0:61].astype(np.float32) / 45
        linear = np.stack([2 ** (6 * x + y), 2 ** (5 * x + 2 * y) * 0.9, 2 ** (6 * x - y + 1)]).astype(np.float32)
        return Scene(
            linear=linear * (index + 1),
            name=f"ramps-{index}",
            group="ramps",
            family="ramps",
            night=self.night,
            key_luminance=self.key,
            white=np.ones(3, np.float32),
        )


def to_linear(display: np.ndarray) -> np.ndarray:
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def to_display(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] == b[k] for k in a)


@pytest.mark.parametrize("index", range(4))
def test_light_differs_by_the_stops_that_the_sample_names(index: int) -> None:
    """Without noise, JPEG and tone curve: decode the target in float64, scale by 2**ev, encode: the input, but for its
    8 bits, wherever the target is not clipped."""
    sample = ExposurePairs(Ramps(), ExposureSettings(**PLAIN)).sample(index, np.random.default_rng(index))
    assert -4.0 <= sample["ev"] <= -0.5
    target, given = sample["target"].double().numpy(), sample["input"].double().numpy()
    expected = to_display(to_linear(target) * 2.0 ** sample["ev"])
    inside = target < 0.9999  # sRGB of 1.0 in float32 is one rounding step below
    assert inside.mean() > 0.5
    assert np.abs(given - expected)[inside].max() <= 0.5 / 255 + 1e-5
    np.testing.assert_allclose(given * 255, np.rint(given * 255), atol=1e-4)


def test_identity_samples_are_their_own_target() -> None:
    settings = ExposureSettings(**{**PLAIN, "identity": 1.0})
    pairs = ExposurePairs(Ramps(), settings)
    brightness = []
    for index in range(12):
        sample = pairs.sample(index, np.random.default_rng(index))
        assert sample["identity"] is True
        assert sample["ev"] == 0
        assert (sample["input"] - sample["target"]).abs().max() <= 0.5 / 255 + 1e-6
        brightness.append(sample["target"].mean().item())
    assert max(brightness) - min(brightness) > 0.05  # taste differs


def test_the_camera_adds_noise_bits_and_jpeg_to_the_input_only() -> None:
    clean = ExposurePairs(Ramps(), ExposureSettings(**PLAIN))
    noisy = ExposurePairs(Ramps(), ExposureSettings(**{**PLAIN, "noise": 1.0, "shot": (4e-3, 4e-3)}))
    packed = ExposurePairs(Ramps(), ExposureSettings(**{**PLAIN, "jpeg": 1.0, "quality": (30, 30)}))
    a, b, c = (pairs.sample(3, np.random.default_rng(9)) for pairs in (clean, noisy, packed))
    assert torch.equal(a["target"], b["target"])
    assert torch.equal(a["target"], c["target"])
    assert a["ev"] == b["ev"] == c["ev"]
    assert (a["input"] - b["input"]).abs().mean() > 0.005
    assert (a["input"] - c["input"]).abs().mean() > 0.001


def test_input_and_target_share_the_tone_curve_and_the_tint() -> None:
    settings = ExposureSettings(**{**PLAIN, "srgb": 0.0, "tint": 0.1, "identity": 1.0})
    curved = ExposurePairs(Ramps(), settings).sample(2, np.random.default_rng(1))
    plain = ExposurePairs(Ramps(), ExposureSettings(**{**PLAIN, "identity": 1.0})).sample(2, np.random.default_rng(1))
    assert (curved["target"] - plain["target"]).abs().mean() > 0.01
    assert (curved["input"] - curved["target"]).abs().max() <= 0.5 / 255 + 1e-6


def test_a_sample_follows_from_index_and_rng_alone() -> None:
    pairs = ExposurePairs(ProceduralScenes(8, (40, 56)), ExposureSettings())
    first = pairs.sample(5, np.random.default_rng([1, 2]))
    pairs.sample(3, np.random.default_rng(0))
    assert same(first, pairs.sample(5, np.random.default_rng([1, 2])))
    assert not same(first, pairs.sample(5, np.random.default_rng([1, 3])))
    assert first["input"].shape == first["target"].shape == (3, 40, 56)
    assert first["input"].dtype == first["target"].dtype == torch.float32
    assert first["id"] == first["group"]
    assert len(pairs) == 8


def test_scenes_that_are_meant_to_be_dark_stay_dark() -> None:
    """At night the scene's key decides, in the target of a pair and of an identity sample."""
    for identity in (0.0, 1.0):
        settings = ExposureSettings(**{**PLAIN, "identity_night": identity, "identity_ev": (0.0, 0.0)})
        sample = ExposurePairs(Ramps(night=True, key=64.0), settings).sample(0, np.random.default_rng(2))
        expected = to_display(np.clip(Ramps().scene(0, np.random.default_rng()).linear * 0.18 / 64.0, 0, 1))
        np.testing.assert_allclose(sample["target"].numpy(), expected, atol=1e-5)
        assert sample["night"] is True
        assert sample["identity"] is bool(identity)


def test_shares_of_identity_samples_are_kept() -> None:
    pairs = ExposurePairs(Ramps(), ExposureSettings(identity=0.35))
    share = np.mean([pairs.sample(i % 20, np.random.default_rng(i))["identity"] for i in range(300)])
    assert share == pytest.approx(0.35, abs=4 * (0.35 * 0.65 / 300) ** 0.5)


def test_targets_look_like_well_exposed_photographs() -> None:
    """By day their mean tone lies where the meter puts it, and metering them again asks for nothing."""
    settings = ExposureSettings(**{**PLAIN, "white_balance": (1.0, 1.0)})
    pairs = ExposurePairs(ProceduralScenes(40, (64, 64)), settings)
    for index in range(40):
        sample = pairs.sample(index, np.random.default_rng(index))
        assert torch.isfinite(sample["input"]).all()
        assert 0 <= sample["input"].min() <= sample["input"].max() <= 1
        assert 0 <= sample["target"].min() <= sample["target"].max() <= 1
        light = torch.from_numpy(to_linear(sample["target"].double().numpy())).float()
        tone = to_display((light * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(0).numpy()).mean()
        if sample["night"]:
            assert tone < 0.45
        else:
            assert settings.darkest - 0.05 < tone < settings.brightest + 0.01  # channels clip before luminance does
            assert abs(auto_exposure(light[None]).item()) < 0.35
            under = auto_exposure(torch.from_numpy(to_linear(sample["input"].double().numpy())).float()[None])
            assert under.item() > 0.3


def test_read_noise_follows_the_published_fit() -> None:
    rng = np.random.default_rng(0)
    logs = np.log([read_noise(1e-3, rng) for _ in range(4000)])
    assert logs.mean() == pytest.approx(2.18 * np.log(1e-3) + 1.2, abs=5 * 0.26 / 4000**0.5)
    assert logs.std() == pytest.approx(0.26, rel=0.06)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ev", (-0.5, -4.0), "exposure.ev is .*two numbers in rising order"),
        ("ev", -2.0, "exposure.ev is -2.0; accepted is two numbers"),
        ("ev", [-1.0], "two numbers"),
        ("identity", 1.2, "exposure.identity is 1.2; accepted is a number from 0 to 1"),
        ("identity", [0.1, 0.2], "a number from 0 to 1"),
        ("shot", (0.0, 1e-3), "from 1e-07 to 1"),
        ("contrast", ("a", "b"), "exposure.contrast"),
        ("darkest", 0.7, "must be below exposure.brightest"),
    ],
)
def test_settings_are_checked(name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ExposureSettings(**{name: value})


def test_settings_accept_lists_as_configurations_have_them() -> None:
    assert list(ExposureSettings(ev=[-2, 1], quality=[50, 50]).ev) == [-2, 1]
