"""Figures of fused subsets against fusing and comparing one by one."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.metrics.fusion import mef_ssim
from hdr.metrics.image import ssim
from hdr.ops.fusion import exposure_fusion
from hdr.ops.subset_fusion import SubsetFusion
from hdr.ops.tonemap import reinhard_global
from tasks.exposure_selection.ladder import preview_ev, render
from tasks.exposure_selection.scoring import FIGURES, _lpips, reference_picture, score_subsets
from tests.tasks.exposure_selection.made import light

EVS = [-2.0, 0.0, 2.0, 4.0]
SUBSETS = torch.tensor([[0, 1], [1, 3], [0, 3], [2, 3]])


@pytest.fixture(scope="module")
def stack() -> Tensor:
    return render(light(3), EVS, preview_ev(light(3)))


@pytest.fixture(scope="module")
def reference(stack: Tensor) -> Tensor:
    return exposure_fusion(stack[None])[0].clamp(0, 1)


def one_by_one(stack: Tensor) -> Tensor:
    return torch.cat([exposure_fusion(stack[members][None]).clamp(0, 1) for members in SUBSETS])


def test_psnr_and_rmse(stack: Tensor, reference: Tensor) -> None:
    found = score_subsets(SubsetFusion(stack, "opencv"), stack, SUBSETS, reference, ("rmse", "psnr"))
    assert list(found) == ["rmse", "psnr"]
    error = (one_by_one(stack).double() - reference.double()).numpy()
    rmse = 255 * np.sqrt((error**2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(found["rmse"].numpy(), rmse, rtol=1e-3)
    np.testing.assert_allclose(found["psnr"].numpy(), 20 * np.log10(255 / rmse), atol=0.01)
    assert all(values.dtype == torch.float32 and values.shape == (4,) for values in found.values())


def test_similarities(stack: Tensor, reference: Tensor) -> None:
    found = score_subsets(SubsetFusion(stack, "opencv"), stack, SUBSETS, reference, ("ssim", "mef_ssim"))
    fused = one_by_one(stack)
    torch.testing.assert_close(found["ssim"], ssim(fused, reference.expand_as(fused)).float(), atol=1e-3, rtol=0)
    torch.testing.assert_close(found["mef_ssim"], mef_ssim(fused, stack[None]).float(), atol=1e-3, rtol=0)


def test_equal_pictures_stay_finite(stack: Tensor) -> None:
    fused = exposure_fusion(stack[SUBSETS[0]][None])[0].clamp(0, 1)
    found = score_subsets(SubsetFusion(stack, "opencv"), stack, SUBSETS[:1], fused, ("psnr",))
    assert 60 < float(found["psnr"]) <= 100


def test_unknown_figures_and_a_missing_library(
    stack: Tensor, reference: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusion = SubsetFusion(stack, "opencv")
    with pytest.raises(UserError, match=r"'sharpness'; accepted are psnr, rmse, ssim, mef_ssim, lpips"):
        score_subsets(fusion, stack, SUBSETS, reference, ("psnr", "sharpness"))
    _lpips.cache_clear()
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UserError, match=r"pip install '\.\[metrics\]'"):
        score_subsets(fusion, stack, SUBSETS, reference, ("lpips",))


def test_lpips_without_its_weights(stack: Tensor, reference: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    lpips = pytest.importorskip("lpips")

    def unreachable(**_: object) -> None:
        raise OSError("no network")

    _lpips.cache_clear()
    monkeypatch.setattr(lpips, "LPIPS", unreachable)
    with pytest.raises(UserError, match=r"alexnet-owt-7be5be79\.pth.*TORCH_HOME"):
        score_subsets(SubsetFusion(stack, "opencv"), stack, SUBSETS, reference, ("lpips",))


def test_directions() -> None:
    assert [name for name, figure in FIGURES.items() if not figure.higher_is_better] == ["rmse", "lpips"]


def test_references(stack: Tensor) -> None:
    linear = light(3).linear
    noise = torch.rand(3, 3, 65, 48, generator=torch.Generator().manual_seed(0))  # no even areas: see hdr/ops/fusion.py
    five = reference_picture("five", "opencv", five=noise, dense=stack, linear=linear)
    expected = cv2.createMergeMertens().process([255 * frame.permute(1, 2, 0).numpy() for frame in noise])
    difference = np.abs(five.permute(1, 2, 0).numpy() - expected.clip(0, 1))
    assert difference.max() < 1e-3
    assert difference.mean() < 1e-5
    dense = reference_picture("dense", "opencv", five=stack[:3], dense=stack, linear=linear)
    assert torch.equal(dense, exposure_fusion(stack[None])[0].clamp(0, 1))
    merged = reference_picture("merged", "opencv", five=stack[:3], dense=stack, linear=linear)
    assert torch.equal(merged, reinhard_global(linear[None])[0].clamp(0, 1))
    for picture in (five, dense, merged):
        assert float(picture.min()) >= 0
        assert float(picture.max()) <= 1
