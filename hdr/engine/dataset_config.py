"""Data sets that every task can name: generated scenes, panoramas, folders of photos, public sets.

A member builds a source for one split. Scene sources give scene-referred light, from which a task simulates what it
needs; photo sources give pairs (or single photos) as they were taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from hdr.engine.config import DatasetConfig, register


@dataclass(kw_only=True)
class ProceduralPart:
    """Scenes that the library generates from seeds; needs no files."""

    train: int = 4096  # scenes in the split
    val: int = 64  # scenes in the split
    test: int = 128  # scenes in the split
    size: int = 256  # pixels, both sides
    families: list[str] | None = None  # kinds of places; null: all


@dataclass(kw_only=True)
class ProceduralConfig(ProceduralPart, DatasetConfig):
    """Generated scenes alone."""

    _target_: str = "hdr.data.sources.procedural"


@dataclass(kw_only=True)
class PanoramasPart:
    """Perspective views of equirectangular HDR panoramas (.hdr, .exr) in a folder; split by panorama."""

    root: str = MISSING  # folder
    views: int = 64  # per panorama and pass; val and test take a quarter of them
    size: int = 256  # pixels, both sides
    night: str | None = "night|moonlit"  # pattern in the names of places that are meant to stay dark; null: none is
    ratios: dict[str, float] = field(default_factory=lambda: {"train": 0.7, "val": 0.15, "test": 0.15})  # shares


@dataclass(kw_only=True)
class PanoramasConfig(PanoramasPart, DatasetConfig):
    """Views of panoramas alone."""

    _target_: str = "hdr.data.sources.panoramas"


@dataclass(kw_only=True)
class MixedConfig(DatasetConfig):
    """Generated scenes and views of panoramas."""

    _target_: str = "hdr.data.sources.mixed"
    procedural: ProceduralPart = field(default_factory=ProceduralPart)  # the generated part
    panoramas: PanoramasPart = field(default_factory=PanoramasPart)  # the photographed part


@dataclass(kw_only=True)
class PhotosConfig(DatasetConfig):
    """What all sets of photos have."""

    size: int = 384  # side of a training sample and of validation
    long_edge: int | None = None  # reduce photos to this for evaluation; null: native size


@dataclass(kw_only=True)
class PairedConfig(PhotosConfig):
    """Two folders, `input/` and `target/`, paired by file name."""

    _target_: str = "hdr.data.photos.paired_folder"
    root: str = MISSING  # folder with both
    input: str = "input"  # folder below root, or another layout's name for it
    target: str = "target"  # likewise
    group: str | None = None  # pattern whose first group names what may not be torn apart; null: the sub-folder
    ratios: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1})  # shares


@dataclass(kw_only=True)
class ListedConfig(PhotosConfig):
    """A text file that names the photos of each pair."""

    _target_: str = "hdr.data.photos.listed_photos"
    file: str = MISSING  # the list
    group: str | None = None  # as for paired
    ratios: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1})  # shares


@dataclass(kw_only=True)
class UnpairedConfig(PhotosConfig):
    """A folder of photos without targets, for losses and metrics that need none."""

    _target_: str = "hdr.data.photos.unpaired_folder"
    root: str = MISSING  # folder
    group: str | None = None  # as for paired
    ratios: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1})  # shares


@dataclass(kw_only=True)
class ManifestConfig(PhotosConfig):
    """A manifest, or the index of a cache that mode=prepare has made."""

    _target_: str = "hdr.data.photos.manifest_photos"
    path: str = MISSING  # the JSONL file


@dataclass(kw_only=True)
class FiveKConfig(PhotosConfig):
    """MIT-Adobe FiveK under one of its protocols; their figures must not be mixed."""

    _target_: str = "hdr.data.fivek.fivek"
    root: str = "${paths.data}/fivek"  # folder, see the module for each protocol's layout
    protocol: str = "upe"  # upe, dpe, zeng or retinexformer
    holdout: float = 0.02  # share of the training photos for validation where the protocol has none


@dataclass(kw_only=True)
class LolConfig(PhotosConfig):
    """LOL version 1 or 2."""

    _target_: str = "hdr.data.lol.lol"
    root: str = "${paths.data}/lol"  # folder
    version: str = "v1"  # v1, v2-real or v2-synthetic
    holdout: float = 0.05  # share of the training pairs for validation


@dataclass(kw_only=True)
class HdrPlusConfig(PhotosConfig):
    """HDR+ bursts as `python -m hdr.data.hdrplus_download` fetches them."""

    _target_: str = "hdr.data.hdrplus.hdrplus"
    root: str = "${paths.data}/hdrplus"  # folder
    roles: list[str] = field(default_factory=lambda: ["merged"])  # merged, final, frame_000 ...
    gap: float | None = None  # minutes between bursts that may be on two sides of a split; null: a day is one group
    ratios: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1})  # shares


@dataclass(kw_only=True)
class HdrSynthConfig(PhotosConfig):
    """HDR-Synth: HDR pictures without photographs."""

    _target_: str = "hdr.data.hdr_images.hdr_synth"
    root: str = "${paths.data}/hdr_synth"  # folder
    group: str | None = None  # pattern whose first group names what may not be torn apart; null: each picture
    holdout: float = 0.1  # share of the training pictures for validation, where lists divide them
    ratios: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1})  # else: shares


@dataclass(kw_only=True)
class HdrRealConfig(PhotosConfig):
    """HDR-Real: photographs and their HDR pictures."""

    _target_: str = "hdr.data.hdr_images.hdr_real"
    root: str = "${paths.data}/hdr_real"  # folder
    holdout: float = 0.05  # share of the training pairs for validation


@dataclass(kw_only=True)
class HdrEyeConfig(PhotosConfig):
    """HDR-Eye: 46 pairs, a test set."""

    _target_: str = "hdr.data.hdr_images.hdr_eye"
    root: str = "${paths.data}/hdr_eye"  # folder


@dataclass(kw_only=True)
class SiHdrConfig(PhotosConfig):
    """SI-HDR: 181 scenes, a test set."""

    _target_: str = "hdr.data.hdr_images.si_hdr"
    root: str = "${paths.data}/si_hdr"  # folder
    condition: str = "clip_95"  # clip_95, clip_97, or raw for its brackets (mode=prepare)


@dataclass(kw_only=True)
class MsecConfig(PhotosConfig):
    """The exposure set of Afifi et al.: five exposures per scene."""

    _target_: str = "hdr.data.exposure_sets.msec"
    root: str = "${paths.data}/msec"  # folder
    expert: str = "c"  # a to e: whose retouched photos are the targets of the test part
    evs: list[float] | None = None  # keep these relative exposures; null: all five


@dataclass(kw_only=True)
class SiceConfig(PhotosConfig):
    """SICE: exposure sequences with a reference each."""

    _target_: str = "hdr.data.exposure_sets.sice"
    root: str = "${paths.data}/sice"  # folder
    exposures: str = "all"  # all, under or over
    holdout: float = 0.05  # share of the training sequences for validation


@dataclass(kw_only=True)
class LcdpConfig(PhotosConfig):
    """LCDP: photos that are over- and underexposed at once."""

    _target_: str = "hdr.data.exposure_sets.lcdp"
    root: str = "${paths.data}/lcdp"  # folder
    holdout: float = 0.05  # share of the training photos for validation where there is no validation part


register(
    "dataset",
    procedural=ProceduralConfig,
    panoramas=PanoramasConfig,
    mixed=MixedConfig,
    paired=PairedConfig,
    listed=ListedConfig,
    unpaired=UnpairedConfig,
    manifest=ManifestConfig,
    fivek=FiveKConfig,
    lol=LolConfig,
    hdrplus=HdrPlusConfig,
    hdr_synth=HdrSynthConfig,
    hdr_real=HdrRealConfig,
    hdr_eye=HdrEyeConfig,
    si_hdr=SiHdrConfig,
    msec=MsecConfig,
    sice=SiceConfig,
    lcdp=LcdpConfig,
)
