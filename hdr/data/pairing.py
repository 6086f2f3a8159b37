"""Which files of a folder belong together: by name in role folders, or by a list file.

Other projects' layouts differ only in the names of the folders. What their authors call the retouched photo:
``expertC_gt`` (hermosayhl/DeepUPE_pytorch), ``reflectance`` (dvlab-research/DeepUPE, whose ``output`` is never read),
``output`` (google/hdrnet, creotiv/hdrnet-pytorch), ``high``, ``Normal`` (LOL), ``gt``, ``GT``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hdr.data.manifest import Record
from hdr.data.splits import read_list
from hdr.errors import UserError
from hdr.io import READABLE_SUFFIXES, image_files

Folders = Mapping[str, str | Sequence[str]]  # role -> name of its folder, or names of which the first that exists is it

ROLES: Folders = {
    "input": ("input", "low"),
    "target": ("target", "expertC_gt", "expertC", "reflectance", "output", "high", "normal", "gt"),
}


@dataclass(frozen=True, kw_only=True)
class PairingReport:
    """What became a pair and what did not; names are relative to the role's folder."""

    pairs: int
    alone: Mapping[str, list[str]] = field(default_factory=dict)  # role -> files with no partner in some other role
    duplicates: Mapping[str, list[str]] = field(default_factory=dict)  # role -> files that share one name: left out
    unnamed: Mapping[str, list[str]] = field(default_factory=dict)  # role -> files whose name does not fit the pattern

    @property
    def complete(self) -> bool:
        """Whether every file found its place."""
        return not (any(self.alone.values()) or any(self.duplicates.values()) or any(self.unnamed.values()))

    def __str__(self) -> str:
        lines = [f"{self.pairs} pairs"]
        for what, files in (
            ("have no partner", self.alone),
            ("share a name with another file and were left out", self.duplicates),
            ("have a name that does not fit the pattern", self.unnamed),
        ):
            lines += [f"{len(names)} of {role} {what}: {shorten(names)}" for role, names in files.items() if names]
        return "\n".join(lines)


def shorten(names: Sequence[str], limit: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def role_folder(root: Path, names: str | Sequence[str]) -> Path:
    """The first of ``names`` (``a/b`` descends) that is a folder below ``root``; letter case does not count.

    Raises:
        UserError: there is none.
    """
    names = (names,) if isinstance(names, str) else names
    for name in names:
        folder: Path | None = root
        for part in Path(name).parts:
            folder = _subfolder(folder, part) if folder else None
        if folder is not None and folder.is_dir():
            return folder
    there = sorted(path.name for path in root.iterdir()) if root.is_dir() else None
    content = "that folder does not exist" if there is None else f"it holds {shorten(there) or 'nothing'}"
    raise UserError(f"{root}: no folder called {' or '.join(names)} in it ({content})")


def _subfolder(folder: Path, name: str) -> Path | None:
    if (folder / name).is_dir():
        return folder / name
    if not folder.is_dir():
        return None
    return next((p for p in sorted(folder.iterdir()) if p.name.casefold() == name.casefold() and p.is_dir()), None)


def without_suffix(path: Path) -> Path:
    """``path`` without the extension of a photo; other endings are part of the name (``a0001-IMG.1234``)."""
    return path.with_suffix("") if path.suffix.lower() in READABLE_SUFFIXES else path


def photo_key(path: Path, match: re.Pattern[str] | None = None) -> str | None:
    """What a photo's partners are found by: its path without extension, in one letter case and Unicode form.

    With ``match`` it is the pattern's first group in the name without extension, None where the pattern does not fit.
    """
    path = without_suffix(path)
    if match is not None:
        hit = match.search(path.name)
        return None if hit is None else hit.group(1).casefold()
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def pair_folders(
    root: str | os.PathLike[str], roles: Folders = ROLES, match: str | None = None, group: str | None = None
) -> tuple[list[Record], PairingReport]:
    """Pair the photos of one folder per role: same path below the role's folder, any extension, any letter case.

    ``match`` is a regular expression whose first group is what partners have in common, for layouts that mark the role
    in the file name (``(\\d+)$`` pairs low00001 with normal00001). A record's id is that common part or, without
    ``match``, the path below the first role's folder, without extension. ``group`` is a regular expression whose first
    group in the id names the scene; without it, photos of one sub-folder are a group, and a photo at the top is its
    own.

    Raises:
        UserError: a role has no folder, there is no pair, or a pattern has no group.
    """
    base = Path(root)
    folders = {role: role_folder(base, names) for role, names in roles.items()}
    pattern = _pattern(match, "match")
    keyed: dict[str, dict[str, list[Path]]] = {}
    unnamed: dict[str, list[str]] = {}
    for role, folder in folders.items():
        keyed[role] = {}
        unnamed[role] = []
        for path in image_files(folder, recursive=True):
            key = photo_key(path.relative_to(folder), pattern)
            if key is None:
                unnamed[role].append(path.relative_to(folder).as_posix())
            else:
                keyed[role].setdefault(key, []).append(path)
    everywhere = set.intersection(*(set(found) for found in keyed.values()))
    single = [key for key in sorted(everywhere) if all(len(found[key]) == 1 for found in keyed.values())]

    def names(role: str, keys: Iterable[str]) -> list[str]:
        return [p.relative_to(folders[role]).as_posix() for key in sorted(keys) for p in keyed[role][key]]

    report = PairingReport(
        pairs=len(single),
        alone={role: names(role, set(found) - everywhere) for role, found in keyed.items()},
        duplicates={role: names(role, (k for k, p in found.items() if len(p) > 1)) for role, found in keyed.items()},
        unnamed=unnamed,
    )
    if not single:
        counts = ", ".join(
            f"{sum(map(len, keyed[role].values()))} photos in {folder}" for role, folder in folders.items()
        )
        raise UserError(f"{base}: no photo has a partner of the same name ({counts})\n{report}")
    first = next(iter(roles))
    records = []
    for key in single:
        name = key if pattern else keyed[first][key][0].relative_to(folders[first]).with_suffix("").as_posix()
        paths = {role: found[key][0] for role, found in keyed.items()}
        records.append(Record(id=name, paths=paths, group=group_of(name, group)))
    return records, report


def group_of(name: str, group: str | None) -> str:
    """The group of the photo ``name`` (see :func:`pair_folders`); a name that the pattern does not fit is its own."""
    pattern = _pattern(group, "group")
    if pattern is not None:
        hit = pattern.search(name)
        return hit.group(1) if hit else name
    folder, _, _ = name.rpartition("/")
    return folder or name


def _pattern(text: str | None, name: str) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"{name}='{text}' is not a regular expression: {error}") from error
    if pattern.groups < 1:
        raise UserError(f"{name}='{text}' has no group; put the part that counts in parentheses")
    return pattern


def pair_list(file: str | os.PathLike[str], roles: Folders = ROLES, group: str | None = None) -> list[Record]:
    """Records from a list file: one capture a line, either a name or one path per role.

    One path per role, in the order of ``roles``, separated by tabs or commas, relative to the list's folder; or a
    single name, which is looked up in each role's folder beside the list, with its own or any other photo extension
    (the ``filelist.txt`` of dvlab-research/DeepUPE and google/hdrnet).

    Raises:
        UserError: a line has another number of paths than there are roles, or a file is missing (names list and line).
    """
    path = Path(file)
    records = []
    named: dict[str, dict[str, Path]] = {}  # role -> photos in its folder by name and by key, read when first needed
    for number, line in enumerate(read_list(path), start=1):
        columns = [column.strip() for column in re.split(r"[\t,]", line)]
        if len(columns) == len(roles) > 1:
            paths = {role: path.parent / column for role, column in zip(roles, columns, strict=True)}
        elif len(columns) == 1:
            named = named or {role: _by_name(role_folder(path.parent, names)) for role, names in roles.items()}
            key = str(photo_key(Path(line)))
            paths = {role: photos.get(line) or photos.get(key) or Path(role, line) for role, photos in named.items()}
        else:
            raise UserError(
                f"{path}: entry {number} has {len(columns)} columns; it needs a name, or one path for each of "
                f"{', '.join(roles)} separated by tabs or commas"
            )
        missing = [str(found) for found in paths.values() if not found.is_file()]
        if missing:
            raise UserError(f"{path}: entry {number} names {missing[0]}, and there is no such file")
        name = without_suffix(Path(columns[0])).as_posix()
        records.append(Record(id=name, paths=paths, group=group_of(name, group)))
    return records


def _by_name(folder: Path) -> dict[str, Path]:
    photos = [(photo.relative_to(folder), photo) for photo in image_files(folder, recursive=True)]
    return {str(photo_key(name)): photo for name, photo in photos} | {name.as_posix(): photo for name, photo in photos}
