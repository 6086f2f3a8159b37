"""Typed configuration of ``exposure_selection``. Defaults are the reference run: free pairs of 37 exposures."""

from __future__ import annotations

from dataclasses import dataclass, field

import hdr.engine.dataset_config  # noqa: F401 - makes the data sets' schemas known
from hdr.engine.config import AugmentationConfig, LossConfig, ModelConfig, RunConfig, register


@dataclass(kw_only=True)
class TableConfig:
    """How scenes are exposed, and how their candidate subsets are scored; one table serves every model."""

    lowest: float = -3.0  # EV of the ladder's darkest exposure, relative to the preview
    highest: float = 6.0  # EV of its brightest
    step: float = 0.25  # EV between neighbours
    members: int = 2  # exposures in a candidate
    include: list[float] = field(default_factory=list)  # EVs that every candidate holds; [0] as in the original
    anchor: str = "highlights"  # what EV 0 is: highlights (1 % saturated) or log_average (middle grey)
    curve: str = "srgb"  # tone curve of the exposures: srgb or bt709
    noise: bool = True  # sensor noise in each exposure
    weighting: str = "opencv"  # of the fusion: opencv, paper, robust or enfuse
    reference: str = "five"  # what fusions are compared with: five (-4 ... 4 EV), dense (all) or merged (tone mapped)
    figures: list[str] = field(default_factory=lambda: ["psnr"])  # psnr, rmse, ssim, mef_ssim, lpips
    seed: int = 0  # of the noise


@dataclass(kw_only=True)
class SubsetSelectorConfig(ModelConfig):
    """Deep sets over exposures: any ladder, any number of exposures."""

    _target_: str = "tasks.exposure_selection.model.SubsetSelector"
    width: int = 128  # of all layers behind the encoder
    channels: list[int] = field(
        default_factory=lambda: [32, 64, 96, 128, 160]
    )  # of the encoder, each halves the picture
    bins: int = 25  # of the histograms of log luminance
    scalars: int = 0  # 3: also look at EXIF facts of the preview, where known: time, ISO, aperture
    dropout: float = 0.1  # on the description of the photo
    temperature: float = 1.0  # score that makes a candidate e times as likely
    centre: float = 30.0  # a typical score; predictions start near it
    spread: float = 5.0  # how much scores vary


@dataclass(kw_only=True)
class BackboneSelectorConfig(ModelConfig):
    """A published classification network; its classes are the table's candidates in their order."""

    _target_: str = "tasks.exposure_selection.model.BackboneSelector"
    classes: int = 666  # candidates of the table
    backbone: str = "mobilenet_v2"  # see hdr/models/backbones.py
    head: str = "linear"  # linear, projected, convolution or mlp
    dropout: float = 0.2  # before the head
    relu_logits: bool = False  # rectify the logits, as published for SqueezeNet
    normalise: bool = False  # ImageNet mean and deviation
    pretrained_file: str | None = None  # weights of the backbone; null: from scratch
    pretrained_sha256: str | None = None  # their checksum


@dataclass(kw_only=True)
class SimpleSelectorConfig(ModelConfig):
    """The small convolutional baseline."""

    _target_: str = "tasks.exposure_selection.model.SimpleSelector"
    classes: int = 666  # candidates of the table
    cells: int = 9  # side of the map that is flattened
    dropout: float = 0.5  # of whole channels
    shared: bool = True  # one block twice, as published; false: two blocks


@dataclass(kw_only=True)
class HistogramSelectorConfig(ModelConfig):
    """Two layers on a histogram."""

    _target_: str = "tasks.exposure_selection.model.HistogramSelector"
    classes: int = 666  # candidates of the table
    bins: int = 100  # of the histogram
    legacy_histogram: bool = False  # raw counts between the picture's extremes, as published
    relu_logits: bool = False  # rectify the logits, as published


@dataclass(kw_only=True)
class StackSelectorConfig(ModelConfig):
    """The network that sees all exposures: a ceiling, no use on a camera."""

    _target_: str = "tasks.exposure_selection.model.StackSelector"
    classes: int = 666  # candidates of the table
    exposures: int = 37  # of the ladder
    frozen: bool = False  # keep the backbone's weights
    normalise: bool = False  # ImageNet mean and deviation
    pretrained_file: str | None = None  # weights of the backbone; null: from scratch
    pretrained_sha256: str | None = None  # their checksum


@dataclass(kw_only=True)
class SelectionLossConfig(LossConfig):
    """Weights of the terms (see tasks/exposure_selection/losses.py); those of 0 are not computed."""

    hard: float = 0.0  # cross-entropy of the best candidate
    balance: bool = False  # weight it by how rarely a candidate is the best of a training scene
    soft: float = 0.0  # cross-entropy of all candidates by their regret
    expected: float = 0.0  # regret of choosing by chance from the prediction
    regression: float = 0.0  # Huber distance of predicted from true regrets
    quality: float = 0.0  # Huber distance of predicted from true scores
    distribution: float = 0.0  # squared distance from scores scaled to a distribution
    reconstruction: float = 0.0  # squared distance of the fused picture, with gradients through the fusion
    tau: float = 1.0  # of the soft label, in the figure's unit; the model's temperature
    d_max: float = 6.0  # regrets beyond count as this
    huber: float = 0.5  # where the Huber distance turns from squares to lines
    choice: str = "soft"  # reconstruction: soft mixture of candidates, or straight_through
    weighting: str = "robust"  # of the fusion in the reconstruction


@dataclass(kw_only=True)
class PreviewConfig(AugmentationConfig):
    """How training previews vary."""

    jitter: float = 0.0  # largest EV by which a preview is metered differently; labels move with it
    flip: bool = True  # mirror half of them


@dataclass(kw_only=True)
class RequestConfig:
    """What a person asks of mode=predict, mode=fuse and mode=expose."""

    captures: int | None = None  # exposures to choose; null: as the table has it
    evs: list[float] | None = None  # exposures to choose from, relative to the photo; null: the table's ladder
    route: str = "linear"  # expose: linear, or libraw as the original developed (evs null: -4, -2, 0, 2, 4)
    include: list[float] = field(default_factory=list)  # EVs that must be among them
    total_time: float | None = None  # largest sum of exposure times, in units of the photo's own
    longest: float | None = None  # largest single one, likewise
    spacing: float = 0.0  # smallest distance in EV between two
    fuse: bool = False  # predict: on RAW files, HDR pictures and brackets also write the fused picture
    weighting: str = "opencv"  # of the fusion
    align: bool = True  # bring the frames of a hand-held bracket into line
    bracket_evs: list[float] | None = None  # EV of each frame, by name, where EXIF does not tell
    format: str | None = None  # fuse: jpg, png or tif; null: jpg, or tif where the frames have more than 8 bits
    weight_maps: bool = False  # fuse: also write what each frame gives


@dataclass(kw_only=True)
class ExposureSelectionConfig(RunConfig):
    """``python -m tasks.exposure_selection``."""

    task: str = "exposure_selection"
    task_class: str = "tasks.exposure_selection.task.ExposureSelection"
    table: TableConfig = field(default_factory=TableConfig)
    scores: str | None = None  # folder of the score table; null: in the cache, named after what it depends on
    target: str = "psnr"  # figure of the table that the network learns
    preview: int = 128  # side of the preview that the network sees
    selection: RequestConfig = field(default_factory=RequestConfig)
    export_fusion: list[int] | None = None  # export: also the fusion of [exposures, height, width], as fusion.onnx
    oracles: list[str] = field(default_factory=lambda: ["pair", "pair_with_preview"])  # evaluate: + triple, continuous


register(
    "model",
    selection_deep_sets=SubsetSelectorConfig,
    selection_backbone=BackboneSelectorConfig,
    selection_simple=SimpleSelectorConfig,
    selection_histogram=HistogramSelectorConfig,
    selection_stack=StackSelectorConfig,
)
register("loss", selection=SelectionLossConfig)
register("augmentation", selection_preview=PreviewConfig)
