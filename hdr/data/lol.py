"""LOL: pairs of low-light and normally exposed photos, versions 1 and 2.

Version 1 (Wei et al., Deep Retinex Decomposition for Low-Light Enhancement, BMVC 2018) has 485 and 15 pairs, version 2
(Yang et al., Sparse Gradient Regularized Deep Retinex Network, IEEE TIP 2021) 689 and 100 real pairs and 900 and 100
synthetic ones. Folders as in the authors' archives; those of caiyuanhao1998/Retinexformer (README.md, "Prepare
Dataset") are understood too. The real photos of version 2 are called low00001 and normal00001.

Two things to know before quoting figures: users report training pairs of version 1 that do not belong together
(weichen582/RetinexNet#9), and that most test photos of version 2 real are training photos of version 1, so a model must
not be trained on the one and tested on the other.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from hdr.data.manifest import Record
from hdr.data.pairing import pair_folders
from hdr.data.photos import PhotoDataset, choose_split, hold_out, logger
from hdr.data.public import PublicSet
from hdr.errors import UserError

_V1 = PublicSet(
    name="LOL version 1",
    url="https://daooshee.github.io/BMVC2018website/",
    licence="for research, see that page",
    tree="""\
  <root>/our485/{low,high}/*.png    485 training pairs    (or Train/{input,target})
  <root>/eval15/{low,high}/*.png     15 test pairs        (or Test/{input,target})""",
)
_V2 = PublicSet(
    name="LOL version 2",
    url="https://github.com/flyywh/CVPR-2020-Semi-Low-Light",
    licence="for research, see that page",
    tree="""\
  <root>/Real_captured/Train/{Low,Normal}/*.png    689 training pairs
  <root>/Real_captured/Test/{Low,Normal}/*.png     100 test pairs
  <root>/Synthetic/Train/{Low,Normal}/*.png        900 training pairs
  <root>/Synthetic/Test/{Low,Normal}/*.png         100 test pairs""",
)

_PARTS = {"train": ("our485", "train"), "test": ("eval15", "test")}
# version -> set, folder below the root, pattern that pairs names, published counts
_VERSIONS: dict[str, tuple[PublicSet, str, str | None, dict[str, int]]] = {
    "v1": (_V1, "", None, {"train": 485, "test": 15}),
    "v2-real": (_V2, "Real_captured/", r"^(?:low|normal)?(\d+)$", {"train": 689, "test": 100}),
    "v2-synthetic": (_V2, "Synthetic/", None, {"train": 900, "test": 100}),
}


def lol(
    root: str | os.PathLike[str],
    version: str = "v1",
    split: str | None = "train",
    *,
    holdout: float = 0.0,
    **options: Any,
) -> PhotoDataset:
    """A split of LOL (None: all of it), as input (low light) and target pairs.

    The sets have no validation split: ``holdout`` is the share of the training pairs that becomes ``val``. ``options``
    are those of :class:`PhotoDataset`.

    Raises:
        UserError: an unknown version or split, or missing data (with the layout and where to get it).
    """
    if version not in _VERSIONS:
        raise UserError(f"version='{version}' of LOL: accepted are {', '.join(_VERSIONS)}")
    described, below, match, counts = _VERSIONS[version]
    base = Path(root)
    records: list[Record] = []
    for name, folders in _PARTS.items():
        roles = {
            "input": [f"{below}{part}/{leaf}" for part in folders for leaf in ("low", "input")],
            "target": [f"{below}{part}/{leaf}" for part in folders for leaf in ("high", "normal", "target")],
        }
        pairs, report = described.layout(base, partial(pair_folders, base, roles, match))
        if not report.complete:
            logger.warning("%s, %s: %s", described.name, name, report)
        described.check_count(name, pairs, [counts[name]])
        records += described.mark(pairs, name)
    return PhotoDataset(choose_split(hold_out(records, holdout), split, described.name), **options)
