"""Typed configuration of ``upe``. Defaults are the reference run: log-gain in linear light on HDRNet's grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import hdr.engine.dataset_config  # noqa: F401 - makes the data sets' schemas known
from hdr.engine.config import AugmentationConfig, LossConfig, ModelConfig, RunConfig, register


@dataclass(kw_only=True)
class NetworkConfig:
    """The coefficient network (Gharbi et al. 2017, section 3.1)."""

    net_size: int = 256  # side of the thumbnail; grid_size times a power of two
    grid_size: int = 16  # cells along x and y; 4 times a power of two
    depth: int = 8  # cells along the guide
    channel_multiplier: int = 1  # factor on all widths
    global_convs: int = 1  # convolutions per halving in the global path; the released deeper form has 6
    local_convs: int = 2  # convolutions of the local path; the released deeper form has 6
    batch_norm: bool = False  # as in the public reimplementation
    padding: str = "symmetric"  # symmetric, or same_tf for weights from TensorFlow
    histogram_bins: int = 0  # log-luminance histogram for the global path; 0: none


@dataclass(kw_only=True)
class GuideConfig:
    """The guide, which chooses the depth in the grid for each pixel."""

    kind: str = "pointwise"  # pointwise or curves
    features: int | None = None  # pointwise: hidden units; null: 16
    activation: str | None = None  # pointwise: sigmoid or tanh; null: sigmoid
    batch_norm: bool | None = None  # pointwise; null: off
    points: int | None = None  # curves: hinges per channel; null: 16


@dataclass(kw_only=True)
class HeadConfig:
    """What the coefficients do to a pixel."""

    kind: str = "log_gain"  # log_gain, division or affine
    domain: str | None = None  # log_gain: the light that is multiplied, linear or display; null: linear
    max_stops: float | None = None  # log_gain: largest gain in EV; null: 5
    min_stops: float | None = None  # log_gain: smallest, at most 0; null: -1
    colour_stops: float | None = None  # log_gain: largest deviation of a channel from the mean; null: 1
    knee: float | None = None  # log_gain: where highlights begin to roll off; null: 0.8
    eps: float | None = None  # division: added to the illumination; null: 1e-3
    constrained: bool | None = None  # division: I <= S <= 1; null: on
    clamp: bool | None = None  # division, affine: limit the result to [0, 1]


@dataclass(kw_only=True)
class LutConfig:
    """A look-up table after the head."""

    kind: str | None = None  # curves or cube; null: no table
    points: int | None = None  # curves: points per channel; null: 17
    size: int | None = None  # cube: points per axis; null: 9
    cubes: int | None = None  # cube: learned cubes that are mixed; null: 3


@dataclass(kw_only=True)
class EnhancerConfig(ModelConfig):
    """The enhancer: network, guide, head, optional affine stage and table."""

    _target_: str = "tasks.upe.model.Enhancer"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    guide: GuideConfig = field(default_factory=GuideConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    affine: bool = False  # a second affine stage after the head: colour and saturation
    lut: LutConfig = field(default_factory=LutConfig)
    levels: int = 1  # levels of the coefficient pyramid; the published pyramid variant has 3
    thumbnail: str = "smooth"  # smooth, antialiased, bilinear or nearest
    convention: str = "centred"  # centred, or corner for weights trained with aligned corners


@dataclass(kw_only=True)
class EnhancementLossConfig(LossConfig):
    """Weights of the loss; a term of weight 0 is not computed. See tasks/upe/losses.py for each formula."""

    reconstruction: float = 1.0  # distance to the target
    form: str = "charbonnier"  # charbonnier or squared distance of results, or illumination (the paper's ||I - S T||^2)
    colour: float = 0.2  # 1 - cosine between colours
    smoothness: float = 0.05  # edge-aware smoothness of the gain or illumination
    exponent: float = 1.2  # of the log-luminance gradient in the smoothness weights
    scale: float = 1.0  # of the smoothness weights
    eps: float = 1e-4  # in the smoothness weights and their logarithm
    cap: float | None = 100.0  # largest smoothness weight; null: 1 / eps bounds it
    per_channel: bool = False  # smoothness weights from each channel instead of luma
    ssim: float = 0.0  # 1 - SSIM
    delta_e: float = 0.0  # CIEDE2000, divided by 100
    total_variation: float = 0.0  # smoothness of the same field regardless of edges
    occupancy: float = 0.01  # a guide that leaves depths of the grid unused
    exposure: float = 0.0  # no reference: patches away from middle brightness
    colour_constancy: float = 0.0  # no reference: channel means that differ
    spatial_consistency: float = 0.0  # no reference: neighbouring regions whose contrast changes


@dataclass(kw_only=True)
class UpeAugmentationConfig(AugmentationConfig):
    """Training samples: how a camera under-exposes a scene, and the geometry of photo pairs."""

    exposure: dict[str, Any] = field(default_factory=dict)  # see ExposureSettings
    geometry: list[Any] = field(default_factory=list)  # photo pairs; empty: random crops and flips


@dataclass(kw_only=True)
class UpeConfig(RunConfig):
    """``python -m tasks.upe``."""

    task: str = "upe"
    task_class: str = "tasks.upe.task.Upe"
    strength: float = 1.0  # predict, export: 0 leaves the photo as it is, 1 is the full correction
    side_by_side: bool = False  # predict: also write input, result and illumination in one picture
    illumination_map: bool = False  # predict: also write the illumination
    format: str | None = None  # predict: suffix of the results (jpg, png, tif, webp); null: the input's, tif for RAW
    bits: int | None = None  # predict: 8 or 16; null: the input's
    weights: str | None = None  # mode=import: a file with published weights
    flavour: str = "official"  # mode=import: official, seed or creo, whose names the file has


register("model", upe_enhancer=EnhancerConfig)
register("loss", upe_enhancement=EnhancementLossConfig)
register("augmentation", upe_exposure=UpeAugmentationConfig)
