from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
import torch

from hdr.data.scenes import render_scene
from hdr.ops.encoding import linear_to_srgb
from hdr.ops.fusion import exposure_fusion
from hdr.ops.subset_fusion import SubsetFusion


def _stack(exposures: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(exposures, 3, height, width, generator=torch.Generator().manual_seed(seed))


def _ladder(seed: int, evs: torch.Tensor, size: int) -> torch.Tensor:
    """8-bit exposures of a scene, with a little noise as in photographs; scaled by 1/255 in float32, as OpenCV does."""
    scene = render_scene(seed, (size, size))
    light = torch.from_numpy(scene.linear) * (0.18 / (scene.key_luminance or 1.0))
    exposures = light * 2.0 ** evs[:, None, None, None]
    exposures = exposures + 0.004 * torch.randn(exposures.shape, generator=torch.Generator().manual_seed(seed))
    return (linear_to_srgb(exposures.clamp(0, 1)) * 255).round() * torch.tensor(1 / 255)


def _subsets(exposures: int, members: int) -> torch.Tensor:
    return torch.tensor(list(combinations(range(exposures), members)))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 9), (33, 20), (64, 64), (65, 97)])
@pytest.mark.parametrize("members", [1, 2, 3, 4])
def test_subsets_fuse_as_if_each_were_alone(size: tuple[int, int], members: int) -> None:
    stack, subsets = _stack(4, *size), _subsets(4, members)
    alone = torch.cat([exposure_fusion(stack[subset][None]) for subset in subsets])
    torch.testing.assert_close(SubsetFusion(stack).fuse(subsets), alone, rtol=0, atol=2e-6)
    exact = torch.cat([exposure_fusion(stack.double()[subset][None]) for subset in subsets])
    torch.testing.assert_close(SubsetFusion(stack.double()).fuse(subsets), exact, rtol=0, atol=1e-12)


def test_errors_are_those_of_the_pictures() -> None:
    stack, subsets = _stack(5, 40, 51) * 1.2 - 0.1, _subsets(5, 2)
    reference = _stack(1, 40, 51, seed=1)[0]
    fusion = SubsetFusion(stack)
    expected = (fusion.fuse(subsets).clamp(0, 1).double() - reference).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(fusion.mse(subsets, reference), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(SubsetFusion(stack.double()).mse(subsets, reference), expected, rtol=1e-6, atol=0)


def test_666_pairs_rank_as_with_opencv() -> None:
    evs = torch.linspace(-3, 6, 37)
    stack = _ladder(2, evs, 150)
    reference = exposure_fusion(stack[[0, 4, 12, 20, 28]][None], backend="cv2")[0].clamp(0, 1)
    pairs = _subsets(37, 2)
    merge = cv2.createMergeMertens()
    pictures = [np.ascontiguousarray((exposure * 255).round().permute(1, 2, 0).numpy()) for exposure in stack]
    goal = reference.permute(1, 2, 0).numpy()
    theirs = np.array(
        [((np.clip(merge.process([pictures[a], pictures[b]]), 0, 1) - goal) ** 2).mean() for a, b in pairs.tolist()]
    )
    ours = SubsetFusion(stack).mse(pairs, reference).numpy()
    assert len(ours) == 666
    assert ours.argmin() == theirs.argmin()
    assert np.abs(ours / theirs - 1).max() < 0.01
    ranks = [np.argsort(np.argsort(scores)) for scores in (ours, theirs)]
    assert np.abs(ranks[0] - ranks[1]).max() <= 3


def test_a_small_memory_gives_the_same_scores() -> None:
    stack, subsets, reference = _stack(5, 32, 48), _subsets(5, 3), _stack(1, 32, 48, seed=2)[0]

    def largest(pictures: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        seen.append(len(pictures))
        return (pictures - references).abs().amax(dim=(1, 2, 3))

    seen: list[int] = []
    roomy = SubsetFusion(stack).score(subsets, reference, {"largest": largest})["largest"]
    assert seen == [10]
    for dtype in (torch.float32, torch.float64):
        seen.clear()
        tight = SubsetFusion(stack.to(dtype), memory=100_000).score(subsets, reference, {"largest": largest})["largest"]
        assert max(seen) < 5
        torch.testing.assert_close(tight.float(), roomy, rtol=0, atol=2e-6)


def test_threads_change_nothing() -> None:
    stack, subsets, reference = _stack(9, 64, 64), _subsets(9, 2), _stack(1, 64, 64, seed=3)[0]
    fusion, threads = SubsetFusion(stack), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(fusion.mse(subsets, reference))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_what_is_not_accepted_is_named() -> None:
    fusion = SubsetFusion(_stack(3, 8, 8))
    for wrong in ([[0, 3]], [[1, 1]], [[-1, 0]]):
        with pytest.raises(ValueError, match="different indices below 3"):
            fusion.fuse(torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"wanted a reference \(3, 8, 8\)"):
        fusion.mse(torch.tensor([[0, 1]]), torch.zeros(3, 8, 9))
    with pytest.raises(ValueError, match=r"\(K, 3, H, W\)"):
        SubsetFusion(_stack(3, 8, 8)[None])
