"""Radiance pictures (.hdr, .pic): linear RGB with a shared exponent (Ward, Real Pixels, Graphics Gems II, 1991).

Values are kept on the file's own scale: an EXPOSURE line, which says by what radiances were multiplied, is not undone.
"""

from __future__ import annotations

import re
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray

from hdr.io.colour import to_rec709_matrix
from hdr.io.decoded import Decoded
from hdr.io.metadata import Metadata
from hdr.io.samples import check_size

_HEADER_LIMIT = 65536
_SMALLEST = 2.0**-106  # pixels below are black; common encoders stop at 1e-32, a little lower but off the grid
_LARGEST = 255 * 2.0**119  # mantissa 255 under the exponent byte 255
_XYZ = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)


def read_radiance(path: Path) -> Decoded:
    """A Radiance picture in any of the eight scan orders, RGBE or XYZE, as linear Rec. 709.

    A PRIMARIES line is followed when it describes a colour space (Photoshop writes zeros). ``ValueError`` for other
    formats and for pixels that end early.
    """
    data = path.read_bytes()
    end = data.find(b"\n\n", 0, _HEADER_LIMIT)
    size = re.compile(rb"([+-][XY]) +(\d+) +([+-][XY]) +(\d+)[ \r]*\n").match(data, end + 2) if end >= 0 else None
    if size is None:
        raise ValueError("its header does not end in a size such as '-Y 480 +X 640'")
    fields = dict(line.split(b"=", 1) for line in data[:end].split(b"\n") if b"=" in line and not line.startswith(b"#"))
    kind = fields.get(b"FORMAT", b"32-bit_rle_rgbe").strip()
    if kind not in (b"32-bit_rle_rgbe", b"32-bit_rle_xyze"):
        raise ValueError(f"its format is '{kind.decode('ascii', 'replace')}'; 32-bit_rle_rgbe and _xyze are read")
    major, minor = size[1], size[3]
    rows, columns = int(size[2]), int(size[4])
    if major[1:] == minor[1:]:
        raise ValueError(f"its size '{size[0].decode('ascii').strip()}' names one axis twice")
    check_size(columns, rows)
    samples = np.empty((rows, columns, 3), np.float32)
    imagecodecs.rgbe_decode(data[size.end() :], header=False, rle=True, out=samples)
    samples = _upright(samples, major.decode(), minor.decode())
    matrix = to_rec709_matrix(_XYZ) if kind.endswith(b"xyze") else _primaries_matrix(fields.get(b"PRIMARIES"))
    if matrix is not None:
        samples = samples @ matrix.T.astype(np.float32)
    planes = torch.from_numpy(np.ascontiguousarray(samples.transpose(2, 0, 1)))
    return planes, "linear", Metadata(format="hdr", bits=32, source=path)


def write_radiance(path: Path, planes: torch.Tensor) -> None:
    """RGBE with run lengths, rounded to the nearest mantissa. Negative values become 0: the format has no sign.

    ``ValueError`` for values beyond its largest, 1.7e38.
    """
    if bool((planes > _LARGEST).any()):
        raise ValueError(f"values above {_LARGEST:.2g} do not fit the format; .exr with bits=32 holds them")
    samples = quantise_rgbe(planes.permute(1, 2, 0).numpy())
    path.write_bytes(imagecodecs.rgbe_encode(samples, header=True, rle=True))


def quantise_rgbe(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest values (H, W, 3) that RGBE holds: 8 bit mantissas under the exponent of the largest channel.

    The encoder cuts mantissas off; of values on the grid it has nothing to cut.
    """
    positive = np.maximum(samples, 0)
    positive = np.where(positive.max(axis=2, keepdims=True) >= _SMALLEST, positive, np.float32(0))
    largest = positive.max(axis=2, keepdims=True)
    mantissa, exponent = np.frexp(largest)
    exponent += mantissa >= np.float32(255.5 / 256)  # rounds up to a mantissa of 256, which has no room
    step = np.ldexp(np.float32(1), exponent - 8)
    return np.rint(positive / step) * step


def _upright(samples: NDArray, major: str, minor: str) -> NDArray:
    """Rows from the top, columns from the left. Radiance counts Y upwards, so -Y is the usual first axis."""
    if major[1] == "X":
        samples, major, minor = samples.swapaxes(0, 1), minor, major
    if major == "+Y":
        samples = samples[::-1]
    if minor == "-X":
        samples = samples[:, ::-1]
    return samples


def _primaries_matrix(line: bytes | None) -> NDArray[np.float64] | None:
    if line is None:
        return None
    values = [float(value) for value in line.split()]
    return to_rec709_matrix(values) if len(values) == 8 and any(values) else None
