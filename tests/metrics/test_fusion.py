from __future__ import annotations

import numpy as np
import pytest
import torch

from hdr.metrics.fusion import mef_ssim
from hdr.ops.fusion import exposure_fusion


def _stack(n: int, k: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth structure at several exposures, with noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 1, 3, height // 6 + 1, width // 6 + 1, generator=generator)
    scene = torch.nn.functional.interpolate(coarse[:, 0], (height, width), mode="bicubic").clamp(0.01, 1)[:, None]
    stops = torch.linspace(-2, 2, k)[:, None, None, None]
    noisy = scene * 2.0**stops + 0.02 * torch.randn(n, k, 3, height, width, generator=generator)
    return noisy.clamp(0, 1)


def _written_out(fused: np.ndarray, stack: np.ndarray) -> float:
    """The paper's steps patch by patch: (H, W) and (K, H, W) in 0 to 255."""
    axis = np.arange(-5, 6)
    bell = np.exp(-(axis**2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / np.outer(bell, bell).sum()
    weights = np.array([0.0448, 0.2856, 0.3001])
    score = 1.0
    for exponent in weights / weights.sum():
        values = []
        for i in range(5, fused.shape[0] - 5):
            for j in range(5, fused.shape[1] - 5):
                patches = stack[:, i - 5 : i + 6, j - 5 : j + 6]
                y = fused[i - 5 : i + 6, j - 5 : j + 6]
                patches = patches - patches.mean(axis=(1, 2), keepdims=True)
                norms = np.sqrt((patches**2).sum(axis=(1, 2)))
                agreement = min(np.sqrt((patches.sum(axis=0) ** 2).sum()) / norms.sum(), 1 - 1e-16)
                power = min(np.tan(np.pi / 2 * agreement), 10.0)
                strength = norms + 0.001
                share = (strength / 11) ** power
                share = share / share.sum()
                desired = (share[:, None, None] * patches / strength[:, None, None]).sum(axis=0)
                desired = desired / np.sqrt((desired**2).sum()) * strength.max()
                x = desired - (window * desired).sum()
                y = y - (window * y).sum()
                both, own, theirs = (window * x * y).sum(), (window * x * x).sum(), (window * y * y).sum()
                values.append((2 * both + 58.5225) / (own + theirs + 58.5225))
        score *= np.mean(values) ** exponent
        grow = [(0, size % 2) for size in fused.shape]
        fused = np.pad(fused, grow, mode="edge")
        stack = np.pad(stack, [(0, 0), *grow], mode="edge")
        fused = (fused[::2, ::2] + fused[1::2, ::2] + fused[::2, 1::2] + fused[1::2, 1::2]) / 4
        stack = (stack[:, ::2, ::2] + stack[:, 1::2, ::2] + stack[:, ::2, 1::2] + stack[:, 1::2, 1::2]) / 4
    return float(score)


def _luma255(display: torch.Tensor) -> np.ndarray:
    return 255 * np.tensordot(display.double().numpy(), [0.2989, 0.587, 0.114], axes=(-3, 0))


@pytest.mark.parametrize("size", [(44, 47), (45, 50)])
def test_it_is_the_paper_written_out(size: tuple[int, int]) -> None:
    stack = _stack(1, 3, *size)
    for fused in (exposure_fusion(stack), stack[:, 2], stack.mean(dim=1) * 0.5 + 0.2):
        expected = _written_out(_luma255(fused[0]), _luma255(stack[0]))
        np.testing.assert_allclose(mef_ssim(fused, stack).numpy(), [expected], rtol=1e-7)


def test_fusion_beats_every_single_exposure_of_a_scene_that_none_can_hold() -> None:
    light = _stack(2, 1, 96, 80) * torch.where(torch.arange(80) < 40, 4.0, 1 / 16)
    stack = (light * 2.0 ** torch.linspace(-3, 5, 5)[:, None, None, None]).clamp(0, 1)
    fused = mef_ssim(exposure_fusion(stack, "paper"), stack)
    for k in range(5):
        assert (mef_ssim(stack[:, k], stack) < fused).all()


def test_equal_exposures_are_their_own_fusion() -> None:
    one = _stack(1, 1, 64, 64)
    # A patch's strength carries a floor of 0.001, so that the score stays just below 1.
    score = float(mef_ssim(one[:, 0], one.expand(1, 3, -1, -1, -1)))
    assert 1 - 1e-6 < score <= 1.0


def test_flat_pictures_are_finite() -> None:
    flat = torch.full((1, 2, 3, 50, 50), 0.5)
    assert float(mef_ssim(flat[:, 0], flat)) == pytest.approx(1.0, abs=1e-6)
    score = mef_ssim(1 - _stack(1, 1, 60, 60)[:, 0], _stack(1, 2, 60, 60))
    assert torch.isfinite(score).all()
    assert float(score) < 0.5


def test_a_batch_is_its_items_and_one_bracket_serves_many() -> None:
    stack = _stack(3, 2, 50, 61)
    fused = exposure_fusion(stack)
    items = torch.cat([mef_ssim(fused[i : i + 1], stack[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(mef_ssim(fused, stack), items)
    torch.testing.assert_close(mef_ssim(fused, stack[:1])[:1], items[:1])


def test_what_is_not_accepted_is_named() -> None:
    stack = _stack(2, 2, 50, 50)
    with pytest.raises(ValueError, match="44x44"):
        mef_ssim(stack[:, 0, :, :40], stack[:, :, :, :40])
    with pytest.raises(ValueError, match=r"\(3, 50, 50\) and its exposures are \(3, 50, 48\)"):
        mef_ssim(stack[:, 0], stack[..., :48])
    with pytest.raises(ValueError, match="wanted"):
        mef_ssim(stack[:, 0], stack[0])
