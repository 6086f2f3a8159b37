"""Which files are photographs: formats by content, lists of files from what a user names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hdr.errors import UserError
from hdr.io import exif

# fmt: off
_RAW = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)
# fmt: on

READABLE_SUFFIXES: dict[str, str] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".avif": "avif",
    ".jxl": "jxl",
    ".exr": "exr",
    ".hdr": "hdr",
    ".pic": "hdr",
    **dict.fromkeys(_RAW, "raw"),
}
"""Suffixes (lower case) by which files of a folder are taken for photographs, and the format they promise."""

WRITABLE_SUFFIXES: dict[str, str] = {s: name for s, name in READABLE_SUFFIXES.items() if name != "raw" and s != ".pic"}
"""Suffixes that can be written and the format they choose."""

ACCEPTED = "JPEG, PNG, TIFF, WebP, AVIF, JPEG XL, OpenEXR, Radiance .hdr and camera RAW"

_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"#?", "hdr"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"II\x1a\0\0\0HEAPCCDR", "raw"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"FOVb", "raw"),
    (b"\0MRM", "raw"),
    (b"IIU\0", "raw"),
    (b"IIRO", "raw"),
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RECOGNISED = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"<", "XML or HTML text"),
)
_BRANDS = {b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIF"}


def is_image_path(path: str | os.PathLike[str]) -> bool:
    """True when the name has the suffix of a readable format, in upper or lower case, and is not hidden."""
    path = Path(path)
    return path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")


def identify(path: Path) -> str:
    """The format that the content of a file shows: jpeg, png, tiff, webp, avif, jxl, exr, hdr or raw.

    The name matters for RAW only: TIFF content is a RAW when the file is called like one or says so itself (DNG, CR2),
    and content that no other format claims is left to LibRaw under the name of a RAW.

    Raises:
        UserError: missing, a folder, not readable, empty, or of another format.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: this is a {'folder; name a file in it' if path.is_dir() else 'device, not a file'}")
    try:
        with open(path, "rb") as stream:
            head = stream.read(32)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror})") from None
    if not head:
        raise UserError(f"{path}: the file is empty; was it copied completely?")
    named_raw = READABLE_SUFFIXES.get(path.suffix.lower()) == "raw"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and head[8:12] == b"crx ":
        return "raw"
    if head[4:8] == b"ftyp" and any(head[i : i + 4] in (b"avif", b"avis") for i in (8, 16, 20, 24, 28)):
        return "avif"  # the brand of the file or, in older ones, a brand that it is compatible with
    if head[:4] in _TIFF:
        return "raw" if named_raw or head[8:10] == b"CR" or _is_dng(path) else "tiff"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if path.suffix.lower() == ".raw":  # LibRaw would guess a camera from the length of the file
        raise UserError(
            f"{path}: this .raw file has no header, so its size, mosaic and levels are unknown; convert it to DNG, "
            "or read it with hdr.io.sensor.read_plain_sensor"
        )
    if named_raw:
        return "raw"
    if head[4:8] == b"ftyp":
        found = _BRANDS.get(head[8:12], "an ISO media file")
    else:
        found = next((name for magic, name in _RECOGNISED if head.startswith(magic)), "")
    found = f"it is {found}" if found else f"its content (it starts with {head[:8]!r}) is no image format known here"
    raise UserError(f"{path}: {found}; accepted are {ACCEPTED}")


def image_files(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], recursive: bool = False
) -> list[Path]:
    """The photographs that the inputs name, sorted, each once.

    An input is a file (of any suffix: its content will decide), a folder (its photographs by suffix; with ``recursive``
    those of its sub-folders as well; hidden ones are left out), a pattern such as ``shots/**/*.jpg``, or a .txt file
    with one input per line, relative to its own folder, empty lines and lines starting with # left out.

    Raises:
        UserError: an input that does not exist or holds no photographs.
    """
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    found: set[Path] = set()
    for item in inputs:
        found.update(_resolve(os.fspath(item), Path(), recursive))
    if not found:
        raise UserError("no input was named; accepted are files, folders, patterns and .txt lists of them")
    return sorted(found)


def _resolve(item: str, base: Path, recursive: bool, listed_in: Path | None = None) -> Sequence[Path]:
    path = base / Path(item).expanduser()
    where = f" (listed in {listed_in})" if listed_in else ""
    if path.is_dir():
        files = _in_folder(path, recursive)
        if not files:
            deeper = "" if recursive else "; sub-folders were not searched"
            raise UserError(f"{path}{where}: no photographs in this folder{deeper}; accepted are {ACCEPTED}")
        return files
    if path.suffix.lower() == ".txt" and path.is_file() and listed_in is None:
        return _in_list(path, recursive)
    if path.exists():
        return [path]
    if glob.has_magic(item):
        matches = [base / name for name in glob.glob(str(Path(item).expanduser()), root_dir=base, recursive=True)]
        files = [match for match in matches if match.is_file() and is_image_path(match)]
        if not files:
            raise UserError(f"{path}{where}: {len(matches)} files match this pattern, none of them a photograph")
        return files
    raise UserError(f"{path}{where}: there is no such file or folder")


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        files += [Path(parent, name) for name in names if is_image_path(name)]
    return [path for path in files if path.is_file()]


def _in_list(path: Path, recursive: bool) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: a list of inputs is UTF-8 text, one per line; this file is not") from None
    files: list[Path] = []
    for line in (line.strip() for line in lines):
        if line and not line.startswith("#"):
            files += _resolve(line, path.parent, recursive, listed_in=path)
    if not files:
        raise UserError(f"{path}: the list names no inputs; it holds one file, folder or pattern per line")
    return files


def _is_dng(path: Path) -> bool:
    return exif.DNG_VERSION in exif.directories_of_file(path)[0]
