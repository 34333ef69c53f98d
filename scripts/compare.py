"""Compares runs on one HTML page: configs, figures, classes, learning curves, picks, cost.

    python scripts/compare.py runs/a runs/b --out=compare.html

Finished runs or not; differences are to the first. Nothing is overwritten without --overwrite.
"""

import argparse
import sys
from pathlib import Path

from cbda_jax.errors import InputError
from cbda_jax.reporting.compare import read_runs, write_comparison
from cbda_jax.stores import to_path


def main() -> int:
    """Writes the page and says where it is."""
    parser = argparse.ArgumentParser(description="Compares runs on one HTML page.")
    parser.add_argument("workdirs", nargs="+", help="of two runs or more")
    parser.add_argument("--out", type=Path, required=True, help="the HTML file to write")
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    given = parser.parse_args()
    try:
        if given.out.exists() and not given.overwrite:
            raise InputError(
                f"{given.out}: there already, expected a new file; name another one (--out), or "
                "add --overwrite"
            )
        write_comparison(read_runs([to_path(name) for name in given.workdirs]), given.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
