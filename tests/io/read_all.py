"""Reads every file of a folder and writes what came of each as JSON: run by itself, because decoders may crash."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from hdr.errors import UserError
from hdr.io import read_image


def outcome(path: Path) -> dict[str, object]:
    start = time.monotonic()
    try:
        photo = read_image(path, hdr=True)
        found: dict[str, object] = {"read": list(photo.pixels.shape)}
    except UserError as error:
        found = {"refused": str(error)}
    except Exception as error:
        found = {"escaped": repr(error)}
    return found | {"seconds": time.monotonic() - start}


def main() -> None:
    folder, report = Path(sys.argv[1]), Path(sys.argv[2])
    outcomes = {path.name: outcome(path) for path in sorted(folder.iterdir())}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in kB
    report.write_text(json.dumps({"outcomes": outcomes, "peak": peak}))


if __name__ == "__main__":
    main()
