"""What is computed in place, or picture by picture, where no gradient is wanted: as the ordinary way has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from hdr.ops._shortcuts import picture_by_picture
from hdr.ops.bayer import PATTERNS
from hdr.ops.camera import quantise
from hdr.ops.encoding import bt709_to_linear, linear_to_bt709, linear_to_srgb, srgb_to_linear
from hdr.ops.noise import add_sensor_noise
from hdr.ops.response import Response, apply_response, invert_response
from hdr.ops.sensor import develop, digitise, normalise

FLOAT32_STEP = torch.finfo(torch.float32).eps
JOINTS = (0.0031308, 0.04045, 0.018053968510807, 0.081242858298635)
SPECIAL = (0.0, -0.0, 1.0, 65504.0, -65504.0, 1e-40, -1e-42, 1e-38, 3e38, torch.inf, -torch.inf, torch.nan)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ordinary(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    return function(values.clone().requires_grad_()).detach()


def in_place(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    before = values.clone()
    result = function(values)
    torch.testing.assert_close(values, before, rtol=0, atol=0, equal_nan=True)  # the input is left alone
    return result


def same_bits(a: Tensor, b: Tensor) -> bool:
    """NaN equals NaN whatever its payload; the two zeros differ."""
    nan = a.isnan()
    return torch.equal(nan, b.isnan()) and torch.equal(a[~nan].view(torch.int32), b[~nan].view(torch.int32))


def all_sizes_of_values() -> Tensor:
    around = torch.arange(-3000, 3000, dtype=torch.int32)
    near_joints = [(torch.tensor(joint).view(torch.int32) + around).view(torch.float32) for joint in JOINTS]
    spread = torch.arange(0, 0x7F800000, 100_003, dtype=torch.int32).view(torch.float32)
    positive = torch.cat([spread, *near_joints])
    return torch.cat([positive, -positive, torch.tensor(SPECIAL)])


@pytest.mark.parametrize("function", [linear_to_srgb, srgb_to_linear])
def test_srgb_has_the_same_bits(function: Callable[[Tensor], Tensor]) -> None:
    values = all_sizes_of_values()
    assert same_bits(in_place(function, values), ordinary(function, values))


@pytest.mark.parametrize("function", [linear_to_bt709, bt709_to_linear])
def test_bt709_differs_by_rounding_at_its_joint_only(function: Callable[[Tensor], Tensor]) -> None:
    values = all_sizes_of_values()
    ours, other = in_place(function, values), ordinary(function, values)
    torch.testing.assert_close(ours, other, rtol=4 * FLOAT32_STEP, atol=0, equal_nan=True)
    joint = JOINTS[2 if function is linear_to_bt709 else 3]
    elsewhere = (values.abs() / joint - 1).abs() > 1e-3
    assert same_bits(ours[elsewhere], other[elsewhere])


@pytest.mark.parametrize("function", [linear_to_srgb, srgb_to_linear, linear_to_bt709, bt709_to_linear])
def test_curves_of_odd_views(function: Callable[[Tensor], Tensor]) -> None:
    whole = torch.randn((2, 3, 11, 13), generator=torch.Generator().manual_seed(0))
    for view in (whole.transpose(1, 3), whole[..., 1::2, ::3], whole[:1, :, :1].expand(4, 3, 5, 13), whole[0, 0, 0, 0]):
        result = in_place(function, view)
        assert result.shape == view.shape
        # The power of a value may differ by a rounding with its place: vectors and what remains after them.
        torch.testing.assert_close(result, ordinary(function, view.contiguous()), rtol=4 * FLOAT32_STEP, atol=0)
    assert torch.equal(function(whole.double()), ordinary(function, whole.double()))


@pytest.mark.parametrize("function", [apply_response, invert_response])
@pytest.mark.parametrize(
    "response", [Response(), Response(0.7), Response(0.0, 1.4), Response(1.5, 1.8), Response(5.0, 3)]
)
def test_response_within_roundings(function: Callable[[Tensor, Response], Tensor], response: Response) -> None:
    ramp = torch.linspace(0, 1, 3 * 41 * 67)
    values = torch.cat([ramp, torch.tensor([-0.0, 1e-40, 1e-38, 1 - FLOAT32_STEP / 2, torch.nan]), ramp[:4]])
    values = values.reshape(1, 3, 10, 275)[..., ::2].transpose(2, 3)
    ours = in_place(lambda x: function(x, response), values)
    other = ordinary(lambda x: function(x, response), values)
    # For the sake of its gradients the ordinary way takes powers of 1.2e-38 at least.
    normal = values.isnan() | (values == 0) | (values >= torch.finfo(torch.float32).tiny)
    rounding = 8 * FLOAT32_STEP * (1 + float(response.shoulder))  # undoing a shoulder amplifies by so much
    torch.testing.assert_close(ours[normal], other[normal], rtol=rounding, atol=1e-37, equal_nan=True)
    exact = function(values[normal].double().view(1, 1, 1, -1), response).view(-1)
    torch.testing.assert_close(ours[normal].double(), exact, rtol=rounding, atol=1e-37, equal_nan=True)
    torch.testing.assert_close(ours[~normal], other[~normal], rtol=0, atol=1e-15)
    assert torch.equal(ours[values == 1], torch.ones_like(ours[values == 1]))
    assert torch.equal(ours[values == 0], torch.zeros_like(ours[values == 0]))


def test_display_values_outside_of_the_curve_stay_as_without_contrast() -> None:
    outside = torch.tensor([-1.5, -0.01, 1.01, 7.0, 65504.0, torch.inf, -torch.inf, torch.nan]).expand(1, 3, 1, 8)
    bent = apply_response(outside, Response(0.0, 1.3))
    torch.testing.assert_close(bent, linear_to_srgb(outside), rtol=2 * FLOAT32_STEP, atol=0, equal_nan=True)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_batches_are_what_their_pictures_are(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    linear = torch.rand((count, 3, 7, 9), generator=generator)
    shoulder, contrast = torch.rand((2, count), generator=generator)
    response = Response(shoulder, 1 + contrast)
    for function in (apply_response, invert_response):
        batch = function(linear, response)
        alone = [function(linear[i], Response(float(shoulder[i]), float(1 + contrast[i]))) for i in range(count)]
        torch.testing.assert_close(batch, torch.stack(alone), rtol=2 * FLOAT32_STEP, atol=0)
        assert torch.equal(function(linear[0], Response(0.3, 1.2)), function(linear[:1], Response(0.3, 1.2))[0])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("count", [1, 3])
def test_developing_a_batch(pattern: str, count: int) -> None:
    generator = torch.Generator().manual_seed(2)
    sites = torch.rand((count, 1, 7, 10), generator=generator) * 1.2 - 0.1
    matrices = torch.eye(3) + 0.2 * torch.randn((count, 3, 3), generator=generator)
    for gains in ((2.0, 1.0, 1.6), 1 + torch.rand((count, 3), generator=generator)):
        for matrix in (None, matrices[0], matrices):

            def colours(x: Tensor, gains: object = gains, matrix: Tensor | None = matrix) -> Tensor:
                return develop(x, pattern=pattern, white_balance=gains, matrix=matrix)  # type: ignore[arg-type]

            assert torch.equal(in_place(colours, sites), ordinary(colours, sites))


def test_sensor_values_and_levels() -> None:
    sites = torch.randn((3, 1, 7, 9), generator=torch.Generator().manual_seed(3))
    blacks, whites = torch.tensor([[60.0, 64, 65, 70]] * 3), torch.tensor([1023.0, 4095, 16383])
    for function in (
        lambda x: digitise(x, blacks, whites),
        lambda x: normalise(x, blacks, whites),
        lambda x: quantise(x, 10),
        lambda x: add_sensor_noise(x, blacks.new_tensor([1e-3, 0, 1e-2]), 1e-4, torch.Generator().manual_seed(4)),
    ):
        assert torch.equal(in_place(function, sites), ordinary(function, sites))


def test_gradients_go_through_a_batch_as_a_whole() -> None:
    seen: list[int] = []

    def count_them(pictures: Tensor, parameter: Tensor) -> Tensor:
        seen.append(len(pictures))
        return pictures * parameter

    pictures, parameter = torch.rand(3, 1, 2, 2), torch.rand(3, 1, 1, 1)
    expected = pictures * parameter
    assert torch.equal(picture_by_picture(count_them, pictures, parameter), expected)
    assert torch.equal(picture_by_picture(count_them, pictures, parameter.requires_grad_()), expected)
    assert torch.equal(picture_by_picture(count_them, pictures.clone().requires_grad_(), parameter.detach()), expected)
    assert seen == [1, 1, 1, 3, 3]
