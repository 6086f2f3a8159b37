"""Networks with a fixed number of classes, one per candidate: those of Segal's DHDRNet, and others of that kind.

Class c is row c of the candidate table; the ladder itself is not looked at. Facts of the published networks are from
github.com/smsegal/DHDRNet; switches named after its weaknesses give its behaviour exactly.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from hdr.errors import UserError
from hdr.models.backbones import Output, backbone
from tasks.exposure_selection.histogram import channel_histogram
from tasks.exposure_selection.selector import Selector

Head = Literal["linear", "projected", "convolution", "mlp"]
_TAKES: dict[str, Output] = {"linear": "features", "projected": "features", "convolution": "map", "mlp": "classes"}


class ClassSelector(Selector):
    """A selector whose values are logits of ``classes`` fixed candidates."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise UserError(f"model.classes: {classes} is no choice; give the number of candidates, at least 2")
        self.classes = classes

    def forward(self, preview: Tensor, evs: Tensor, scalars: Tensor | None, subsets: Tensor) -> Tensor:
        """Logits (N, S); see :class:`Selector`.

        Raises:
            UserError: there are not as many candidates as classes.
        """
        if len(subsets) != self.classes:
            raise UserError(
                f"model.classes: the network tells {self.classes} candidates apart and the table has {len(subsets)};"
                f" set model.classes={len(subsets)} and train, or use a table with its candidates"
            )
        return self.logits(preview)

    @abstractmethod
    def logits(self, preview: Tensor) -> Tensor:
        """Preview (N, 3, H, W), display, to logits (N, classes)."""


class BackboneSelector(ClassSelector):
    """A published classification network with a head for the candidates.

    The networks of DHDRNet are ``mobilenet_v2`` with the heads ``linear`` (dropout 0.2: mobile_v1, 0.5: mobile_v2) and
    ``projected`` (mobile_v3 and the reconstruction network), ``squeezenet1_1`` with ``convolution`` and
    ``relu_logits``, and ``resnet18`` with ``mlp`` and ImageNet weights on unnormalised input.

    Args:
        classes: candidates.
        backbone: one of ``hdr.models.backbones.BACKBONES``.
        head: ``linear``: dropout and one layer; ``projected``: dropout, a layer to half the width, batch norm, and a
            second layer without a nonlinearity between; ``convolution``: dropout and a 1x1 convolution before pooling;
            ``mlp``: the backbone's own 1000 classes, then layers of 500 and 100 with ReLU.
        dropout: before the head; ``mlp`` has none.
        relu_logits: ``convolution``: rectify the logits before pooling, as SqueezeNet does. No candidate can then be
            spoken against, and nothing is learnt once all are 0.
        normalise: bring the preview to the mean and deviation that ImageNet weights expect.
        pretrained_file: see ``hdr.models.backbones.backbone``.
        pretrained_sha256: likewise.

    Raises:
        UserError: an unknown head or backbone, or weights that do not fit.
    """

    def __init__(
        self,
        *,
        classes: int = 36,
        backbone: str = "mobilenet_v2",
        head: Head = "linear",
        dropout: float = 0.2,
        relu_logits: bool = False,
        normalise: bool = False,
        pretrained_file: str | None = None,
        pretrained_sha256: str | None = None,
    ) -> None:
        super().__init__(classes)
        if head not in _TAKES:
            raise UserError(f"model.head: '{head}' is not known; choose one of {', '.join(_TAKES)}")
        if relu_logits and head != "convolution":
            raise UserError(f"model.relu_logits: only head=convolution has it, not {head}")
        self.backbone, width = _backbone(backbone, _TAKES[head], normalise, pretrained_file, pretrained_sha256)
        self.head = _head(head, width, classes, dropout, relu_logits)

    def logits(self, preview: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(preview))
        return logits


class SimpleSelector(ClassSelector):
    """The small baseline of DHDRNet: a strided convolution, and one block of two convolutions applied twice.

    The published network lists the same layers twice, so that both applications share their weights, and flattens what
    comes out; its last layer fits previews of 71 to 78 pixels only. Here the map is first averaged to ``cells`` x
    ``cells``, which for those sizes and 9 cells changes nothing.

    Args:
        classes: candidates.
        cells: side of the map that is flattened; 24 times its square are the inputs of the last layer (1944 for 9).
        dropout: of whole channels, in the block.
        shared: apply one block twice; otherwise two blocks, each with its weights.
    """

    def __init__(self, *, classes: int = 36, cells: int = 9, dropout: float = 0.5, shared: bool = True) -> None:
        super().__init__(classes)
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, stride=2, padding=1), nn.ReLU())
        self.blocks = nn.ModuleList(_block(24, dropout) for _ in range(1 if shared else 2))
        self.cells = cells
        self.head = nn.Linear(24 * cells**2, classes)

    def logits(self, preview: Tensor) -> Tensor:
        features = self.stem(preview)
        for turn in range(2):
            features = self.blocks[turn % len(self.blocks)](features)
        if features.shape[-2:] != (self.cells, self.cells):
            features = F.adaptive_avg_pool2d(features, self.cells)
        logits: Tensor = self.head(features.flatten(1))
        return logits


class HistogramSelector(ClassSelector):
    """Two layers on the preview's histogram, all channels together.

    Args:
        classes: candidates.
        bins: of the histogram, and width of the hidden layer.
        legacy_histogram: raw counts between the picture's own extremes, as published: losses start in the thousands,
            and a brighter exposure gives much the same counts. Otherwise shares (times ``bins``) of fixed bins.
        relu_logits: rectify the logits, as published.
    """

    def __init__(
        self, *, classes: int = 36, bins: int = 100, legacy_histogram: bool = False, relu_logits: bool = False
    ) -> None:
        super().__init__(classes)
        self.bins, self.legacy_histogram, self.relu_logits = bins, legacy_histogram, relu_logits
        self.layers = nn.Sequential(nn.Linear(bins, bins), nn.ReLU(), nn.Linear(bins, classes))

    def logits(self, preview: Tensor) -> Tensor:
        histogram = channel_histogram(preview, self.bins, legacy=self.legacy_histogram)
        logits: Tensor = self.layers(histogram if self.legacy_histogram else histogram * self.bins)
        return F.relu(logits) if self.relu_logits else logits


class StackSelector(ClassSelector):
    """The free-choice network of DHDRNet: it sees all exposures, and so serves as a ceiling, not for capturing.

    A 3-D convolution over (channel, row, column) mixes the exposures, its input channels, into one picture, which a
    MobileNetV3 classifies. ``preview`` of :meth:`forward` is the stack (N, exposures, 3, H, W), in the ladder's order.

    Args:
        classes: candidates; all pairs of ``exposures`` in the published one.
        exposures: in the stack.
        frozen: the backbone's weights and statistics stay as they are, which makes sense with a ``pretrained_file``.
        normalise: see :class:`BackboneSelector`.
        pretrained_file: likewise.
        pretrained_sha256: likewise.

    Raises:
        UserError: weights that do not fit.
    """

    takes_stack = True

    def __init__(
        self,
        *,
        classes: int = 21,
        exposures: int = 7,
        frozen: bool = False,
        normalise: bool = False,
        pretrained_file: str | None = None,
        pretrained_sha256: str | None = None,
    ) -> None:
        super().__init__(classes)
        self.mix = nn.Conv3d(exposures, 1, 3, padding=1)
        self.backbone, width = _backbone(
            "mobilenet_v3_large", "features", normalise, pretrained_file, pretrained_sha256
        )
        self.head = nn.Linear(width, classes)
        self.frozen = frozen
        self.backbone.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> StackSelector:
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def logits(self, preview: Tensor) -> Tensor:
        if preview.ndim != 5 or preview.shape[1] != self.mix.in_channels:
            wanted = f"(N, {self.mix.in_channels}, 3, H, W)"
            raise ValueError(f"wanted a stack of exposures {wanted}, got {tuple(preview.shape)}")
        logits: Tensor = self.head(self.backbone(self.mix(preview)[:, 0]))
        return logits


def _backbone(
    name: str, output: Output, normalise: bool, file: str | None, sha256: str | None
) -> tuple[nn.Module, int]:
    return backbone(name, output=output, normalise=normalise, pretrained_file=file, pretrained_sha256=sha256)


def _head(kind: Head, width: int, classes: int, dropout: float, relu: bool) -> nn.Sequential:
    if kind == "linear":
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes))
    if kind == "projected":
        half = width // 2
        return nn.Sequential(
            nn.Dropout(dropout), nn.Linear(width, half), nn.BatchNorm1d(half), nn.Linear(half, classes)
        )
    if kind == "mlp":
        return nn.Sequential(nn.Linear(width, 500), nn.ReLU(), nn.Linear(500, 100), nn.ReLU(), nn.Linear(100, classes))
    last = nn.Conv2d(width, classes, 1)
    nn.init.normal_(last.weight, std=0.01)  # as SqueezeNet's
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    rectify = [nn.ReLU()] if relu else []
    return nn.Sequential(nn.Dropout(dropout), last, *rectify, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _block(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.Dropout2d(dropout),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AvgPool2d(2),
    )
