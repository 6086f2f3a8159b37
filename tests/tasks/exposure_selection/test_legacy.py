"""Networks with fixed classes: published sizes, switches, what they accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hdr.errors import UserError
from tasks.exposure_selection.legacy import ClassSelector
from tasks.exposure_selection.model import BackboneSelector, HistogramSelector, SimpleSelector, StackSelector
from tests.tasks.exposure_selection.examples import GRID, ladder, picture, size

MOBILE_V1: dict[str, Any] = {"backbone": "mobilenet_v2", "head": "linear", "dropout": 0.2}
MOBILE_V2: dict[str, Any] = {"backbone": "mobilenet_v2", "head": "linear", "dropout": 0.5}
MOBILE_V3: dict[str, Any] = {"backbone": "mobilenet_v2", "head": "projected", "dropout": 0.5}
SQUEEZE: dict[str, Any] = {"backbone": "squeezenet1_1", "head": "convolution", "dropout": 0.5, "relu_logits": True}
RESNET: dict[str, Any] = {"backbone": "resnet18", "head": "mlp"}


@pytest.mark.parametrize(
    ("options", "millions"), [(MOBILE_V1, 2.27), (MOBILE_V2, 2.27), (MOBILE_V3, 3.07), (SQUEEZE, 0.74), (RESNET, 12.24)]
)
def test_published_networks_have_their_size(options: dict[str, Any], millions: float) -> None:
    selector = BackboneSelector(**options)
    assert size(selector) / 1e6 == pytest.approx(millions, abs=0.005)
    dropouts = [m.p for m in selector.head.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts == ([options["dropout"]] if "dropout" in options else [])
    assert selector.eval()(torch.rand(2, 3, 75, 75), ladder(GRID), None, torch.zeros(36, 2)).shape == (2, 36)


def test_small_published_networks_have_their_size() -> None:
    assert size(HistogramSelector()) == 100 * 100 + 100 + 100 * 36 + 36
    # 3x3 convolutions 3 -> 24 and twice 24 -> 24, two batch norms, 1944 -> 36
    assert size(SimpleSelector()) == 672 + 2 * 5208 + 2 * 48 + 1944 * 36 + 36
    # Conv3d 7 -> 1, MobileNetV3-L without its classifier (1280 x 1000 + 1000 of 5,483,032), 1280 -> 21
    assert size(StackSelector()) == 7 * 27 + 1 + 5_483_032 - 1_281_000 + 1280 * 21 + 21


@pytest.mark.parametrize(
    "make",
    [
        lambda: BackboneSelector(**{**MOBILE_V3, "classes": 10}),
        lambda: BackboneSelector(**{**SQUEEZE, "classes": 10}),
        lambda: SimpleSelector(classes=10),
        lambda: HistogramSelector(classes=10),
        lambda: HistogramSelector(classes=10, legacy_histogram=True),
    ],
    ids=["mobile_v3", "squeeze", "simple", "histogram", "legacy_histogram"],
)
@torch.no_grad()
def test_class_selectors_take_any_size_and_their_own_candidates(make: Callable[[], ClassSelector]) -> None:
    torch.manual_seed(0)
    selector = make().eval()
    display, candidates = picture(2, 3, 75, 301), torch.zeros(10, 2, dtype=torch.long)
    values = selector(display, ladder(GRID), None, candidates)
    assert values.shape == (2, 10)
    alone = selector(display[1:], ladder(GRID, 1), None, candidates)[0]
    scale = float(values.abs().max())  # raw counts give logits in the hundreds
    torch.testing.assert_close(alone, values[1], atol=1e-6 * scale, rtol=1e-5)
    with pytest.raises(UserError, match=r"tells 10 candidates apart and the table has 36.*model\.classes=36"):
        selector(display, ladder(GRID), None, torch.zeros(36, 2))


@torch.no_grad()
def test_rectified_logits() -> None:
    display = picture(4, 3, 75, 75)
    for make in (
        lambda on: BackboneSelector(**{**SQUEEZE, "relu_logits": on}),
        lambda on: HistogramSelector(relu_logits=on),
    ):
        assert make(True).eval().logits(display).min() >= 0
        assert make(False).eval().logits(display).min() < 0
    with pytest.raises(UserError, match="only head=convolution"):
        BackboneSelector(relu_logits=True)


@torch.no_grad()
def test_the_simple_network_applies_one_block_twice() -> None:
    selector = SimpleSelector().eval()
    block, display = selector.blocks[0], picture(1, 3, 75, 75)
    features = block(block(selector.stem(display)))
    assert features.shape == (1, 24, 9, 9)  # what the published linear layer takes
    torch.testing.assert_close(selector.logits(display), selector.head(features.flatten(1)))
    assert size(SimpleSelector(shared=False)) == size(SimpleSelector()) + size(block)
    assert SimpleSelector().logits(picture(1, 3, 300, 300)).shape == (1, 36)


@torch.no_grad()
def test_the_stack_network() -> None:
    frozen, stack = StackSelector(exposures=3, classes=3, frozen=True), torch.rand(2, 3, 3, 64, 64)
    before = {name: tensor.clone() for name, tensor in frozen.backbone.state_dict().items()}
    frozen.train()
    assert frozen.training
    assert frozen(stack, ladder([-1.0, 0.0, 1.0]), None, torch.zeros(3, 2)).shape == (2, 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen.backbone.state_dict().items())
    assert {name.split(".")[0] for name, p in frozen.named_parameters() if p.requires_grad} == {"mix", "head"}
    assert all(p.requires_grad for p in StackSelector(exposures=3).parameters())
    with pytest.raises(ValueError, match=r"stack of exposures \(N, 3, 3, H, W\), got \(2, 3, 64, 64\)"):
        frozen.logits(stack[:, 0])


def test_options_that_are_refused() -> None:
    with pytest.raises(UserError, match="'deep' is not known; choose one of linear"):
        BackboneSelector(head="deep")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="classes: 1 is no choice"):
        SimpleSelector(classes=1)
