"""Data sets for exposure correction: MSEC, SICE, LCDP.

MSEC is the set of Afifi et al., "Learning Multi-Scale Photo Exposure Correction", CVPR 2021: photos of FiveK rendered
at five exposures; training targets are expert C's, the test part has those of all five experts. SICE is by Cai et al.,
"Learning a Deep Single Image Contrast Enhancer from Multi-Exposure Images", IEEE TIP 2018: 589 sequences, each with a
reference chosen among 13 fusions. LCDP is by Wang et al., "Local Color Distributions Prior for Image Enhancement", ECCV
2022: photos that are over- and underexposed at once, rendered from FiveK and RAISE.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hdr.data.manifest import Record
from hdr.data.pairing import PairingReport, pair_folders, photo_key, role_folder, without_suffix
from hdr.data.photos import PhotoDataset, choose_split, hold_out, logger
from hdr.data.public import PublicSet
from hdr.data.splits import read_list
from hdr.errors import UserError
from hdr.io import image_files

MSEC = PublicSet(
    name="MSEC (exposure set of Afifi et al.)",
    url="https://github.com/mahmoudnafifi/Exposure_Correction",
    licence="research licences of FiveK",
    tree="""\
  <root>/training/INPUT_IMAGES/<scene>_{N1.5,N1,0,P1,P1.5}.JPG, <root>/training/GT_IMAGES/<scene>.jpg
  <root>/validation/INPUT_IMAGES/, GT_IMAGES/
  <root>/testing/INPUT_IMAGES/, expert_a_testing_set/ ... expert_e_testing_set/""",
)
SICE = PublicSet(
    name="SICE",
    url="https://github.com/csjcai/SICE",
    licence="for research, see that page",
    tree="""\
  <root>/Dataset_Part1/<number>/<exposure>.JPG ..., <root>/Dataset_Part1/Label/<number>.JPG    360 sequences
  <root>/Dataset_Part2/<number>/<exposure>.JPG ..., <root>/Dataset_Part2/Label/<number>.JPG    229 sequences
  <root>/testing_index.txt    numbers of Part1 that are the test part (optional; the published ones are known)""",
)
LCDP = PublicSet(
    name="LCDP",
    url="https://github.com/onpix/LCDPNet",
    licence="research licences of FiveK and RAISE",
    tree="""\
  <root>/adobe5k/input/*.png, gt/*.png, test-input/*.png, test-gt/*.png    (valid-input, valid-gt where they are)
  <root>/raise/input/*.png, gt/*.png""",
)

_EXPERTS = "abcde"
_MSEC_PARTS = {"train": ("training", "train"), "val": ("validation", "val"), "test": ("testing", "test")}
_MSEC_COUNTS = {"train": 17675, "val": 750, "test": 5905}
_MSEC_NAME = re.compile(r"^(.+)_([NP]?)(\d+(?:\.\d+)?)$")
_SICE_PARTS = {"part1": ("Dataset_Part1", "Part1"), "part2": ("Dataset_Part2", "Part2")}
# test sequences of the first part, as the authors' testing_index.txt names them
_SICE_TEST = ((4, 23), (28, 28), (31, 31), (33, 34), (37, 39), (46, 52), (55, 69), (75, 79), (100, 103))
_EXPOSURES = {"all": lambda step: True, "under": lambda step: step < 0, "over": lambda step: step > 0}


def msec(
    root: str | os.PathLike[str],
    split: str | None = "train",
    *,
    expert: str = "c",
    evs: Sequence[float] | None = None,
    **options: Any,
) -> PhotoDataset:
    """A split of MSEC (None: all of it), as input and target pairs; a scene's five inputs share their target.

    ``expert`` (a to e) chooses the target of the test part; training and validation have expert C's alone. ``evs``
    keeps only inputs of these relative exposures, such as (-1.5, -1). A record's metadata has ``ev``.

    Raises:
        UserError: an unknown expert, missing data (with the layout and where to get them), or an empty split.
    """
    if expert not in _EXPERTS or len(expert) != 1:
        raise UserError(f"expert='{expert}' of MSEC: accepted are {', '.join(_EXPERTS)}")
    base = Path(root)
    records: list[Record] = []
    for part, folders in _MSEC_PARTS.items():
        if split in (None, part):
            pairs = MSEC.layout(base, partial(_msec_part, base, part, folders, expert))
            MSEC.check_count(part, pairs, [_MSEC_COUNTS[part]])
            records += MSEC.mark(pairs, part)
    if evs is not None:
        records = [record for record in records if record.metadata["ev"] in tuple(evs)]
    return PhotoDataset(choose_split(records, split, MSEC.name), **options)


def _msec_part(base: Path, part: str, folders: Sequence[str], expert: str) -> list[Record]:
    inputs = role_folder(base, [f"{folder}/INPUT_IMAGES" for folder in folders])
    goals = [f"expert_{expert}_testing_set", f"GT_IMAGES/expert_{expert}_testing_set"]
    goals = goals if part == "test" else ["GT_IMAGES"]
    targets = role_folder(base, [f"{folder}/{goal}" for folder in folders for goal in goals])
    by_key = {photo_key(path.relative_to(targets)): path for path in image_files(targets)}
    records: list[Record] = []
    alone: list[str] = []
    unnamed: list[str] = []
    for path in image_files(inputs):
        name = _MSEC_NAME.match(without_suffix(Path(path.name)).name)
        target = by_key.get(photo_key(Path(name[1]))) if name else None
        if name is None or target is None:
            (unnamed if name is None else alone).append(path.name)
            continue
        ev = float(name[3]) * (-1 if name[2] == "N" else 1)
        paths = {"input": path, "target": target}
        records.append(Record(id=f"{part}/{name[0]}", paths=paths, group=f"{part}/{name[1]}", metadata={"ev": ev}))
    report = PairingReport(pairs=len(records), alone={"input": alone}, unnamed={"input": unnamed})
    if not records:
        raise UserError(f"no photo of {inputs} is called like one of {targets} with _N1.5, _0 or the like behind")
    if not report.complete:
        logger.warning("%s: %s", inputs, report)
    return records


def sice(
    root: str | os.PathLike[str],
    split: str | None = "train",
    *,
    exposures: str = "all",
    holdout: float = 0.0,
    **options: Any,
) -> PhotoDataset:
    """A split of SICE (None: all of it), as pairs of one exposure (input) and the sequence's reference (target).

    ``exposures`` keeps ``all`` of a sequence, or those ``under`` or ``over`` its middle. A record's metadata has
    ``step``, the place in the sequence counted from its middle: of seven, the third is -1. ``holdout`` is the share of
    the training sequences that becomes ``val``.

    Raises:
        UserError: unknown ``exposures``, missing data (with the layout and where to get them), or an empty split.
    """
    if exposures not in _EXPOSURES:
        raise UserError(f"exposures='{exposures}' of SICE: accepted are {', '.join(_EXPOSURES)}")
    base = Path(root)
    records = SICE.mark(SICE.layout(base, partial(_sequences, base)))
    tested = sum(last - first + 1 for first, last in _SICE_TEST)
    for name, count in (("train", 589 - tested), ("test", tested)):
        sequences = {record.group for record in records if record.split == name}
        SICE.check_count(name, sequences, [count], "sequences")
    chosen = [record for record in records if _EXPOSURES[exposures](record.metadata["step"])]
    return PhotoDataset(choose_split(hold_out(chosen, holdout), split, SICE.name), **options)


def _sequences(base: Path) -> list[Record]:
    numbers = {str(number) for first, last in _SICE_TEST for number in range(first, last + 1)}
    if (base / "testing_index.txt").is_file():
        numbers = {word for line in read_list(base / "testing_index.txt") for word in line.split()}
    records: list[Record] = []
    alone: list[str] = []
    for part, folders in _SICE_PARTS.items():
        folder = role_folder(base, folders)
        labels = {path.stem: path for path in image_files(role_folder(folder, "Label"))}
        for sequence in sorted(path for path in folder.iterdir() if path.is_dir() and path.name.lower() != "label"):
            if sequence.name not in labels:
                alone.append(f"{part}/{sequence.name}")
                continue
            group = f"{part}/{sequence.name}"
            split = "test" if part == "part1" and sequence.name in numbers else "train"
            frames = sorted(image_files(sequence), key=lambda path: (len(path.stem), path.stem))
            records += [
                Record(
                    id=f"{group}/{frame.stem}",
                    paths={"input": frame, "target": labels[sequence.name]},
                    group=group,
                    split=split,
                    metadata={"step": place - (len(frames) - 1) / 2},
                )
                for place, frame in enumerate(frames)
            ]
    if alone:
        logger.warning("SICE: %s", PairingReport(pairs=len(records), alone={"sequences": alone}))
    return records


def lcdp(
    root: str | os.PathLike[str], split: str | None = "train", *, holdout: float = 0.0, **options: Any
) -> PhotoDataset:
    """A split of LCDP (None: all of it), as input and target pairs.

    ``holdout`` is the share of the training photos that becomes ``val`` where the folders have no validation part.

    Raises:
        UserError: missing data (with the layout and where to get them), or an empty split.
    """
    base = Path(root)
    sources = [base / name for name in ("adobe5k", "raise") if (base / name).is_dir()] or [base]
    records: list[Record] = []
    for part, before in (("train", ""), ("val", "valid-"), ("test", "test-")):
        roles = {"input": f"{before}input", "target": f"{before}gt"}
        there = [source for source in sources if (source / roles["input"]).is_dir()]
        if not there and part != "val":
            LCDP.layout(base, partial(role_folder, sources[0], roles["input"]))
        for source in there:
            pairs, report = LCDP.layout(base, partial(pair_folders, source, roles, None, r"^(a\d{4})"))
            if not report.complete:
                logger.warning("LCDP, %s: %s", source.name, report)
            above = f"{part}/{source.name}/"
            pairs = [replace(pair, id=above + pair.id, group=above + pair.group) for pair in pairs]
            records += LCDP.mark(pairs, part)
    LCDP.check_count("test", [record for record in records if record.split == "test"], [218])
    if not any(record.split == "val" for record in records):
        records = hold_out(records, holdout)
    return PhotoDataset(choose_split(records, split, LCDP.name), **options)
