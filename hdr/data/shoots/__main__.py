"""Writes virtual exposure brackets and photo shoots: ``python -m hdr.data.shoots bracket|shoots --output FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hdr.errors import UserError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hdr.data.shoots", description="Virtual photographs as DNG files.")
    commands = parser.add_subparsers(dest="command", required=True)
    bracket = commands.add_parser("bracket", help="exposure brackets of single scenes")
    shoots = commands.add_parser("shoots", help="shoots by photographers of different styles, with Lightroom sidecars")
    for command in (bracket, shoots):
        command.add_argument(
            "--output", type=Path, required=True, metavar="FOLDER", help="new, empty, or to be resumed"
        )
        command.add_argument("--size", type=int, default=512, help="longer side in pixels, even (512)")
        command.add_argument("--seed", type=int, default=0, help="another seed, other photographs (0)")
    bracket.add_argument("--count", type=int, default=4, help="how many brackets (4)")
    bracket.add_argument("--evs", type=float, nargs="+", default=[-2.0, 0.0, 2.0], metavar="EV", help="stops (-2 0 2)")
    shoots.add_argument("--shoots", type=int, default=12, help="how many shoots (12)")
    shoots.add_argument("--photos", type=int, default=40, help="photos of each (40)")
    shoots.add_argument("--styles", type=int, default=4, help="photographers that share the shoots (4)")
    shoots.add_argument("--edited", type=int, default=None, help="photos of each shoot that have a sidecar (all)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 2 a mistake that the user can put right,
    130 interrupted."""
    given = vars(_parser().parse_args(arguments))
    from hdr.data.shoots.writing import MANIFEST, write_brackets, write_shoots  # torch, only when there is work to do

    command, folder = given.pop("command"), given.pop("output")
    try:
        records = write_brackets(folder, **given) if command == "bracket" else write_shoots(folder, **given)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{folder}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    what = "brackets" if command == "bracket" else "photos"
    print(f"{folder / MANIFEST}: {len(records)} {what}, {sum(len(record.paths) for record in records)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
