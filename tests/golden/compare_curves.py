"""Prints how far two sets of learning curves part: python compare_curves.py FOLDER [OTHER], each with a curves.json."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import storage


def main() -> None:
    """Print, for each case, the largest differences after some steps and the first step beyond 1e-3."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("other", type=Path, nargs="?", default=storage.DATA, help="default: %(default)s")
    options = parser.parse_args()
    one, two = (storage.load("curves", folder) for folder in (options.folder, options.other))
    print(f"{'case':15}{'10':>10}{'50':>10}{'100':>10}{'200':>10}{'relative':>10}  first step beyond 1e-3")
    for name in one.cases:
        ours, theirs = (golden.cases[name]["losses"].astype(np.float64) for golden in (one, two))
        difference = np.abs(ours - theirs)
        beyond = np.flatnonzero(difference > 1e-3)
        largest = "".join(f"{difference[:steps].max():10.1e}" for steps in (10, 50, 100, 200))
        relative = (difference / np.abs(theirs)).max()
        print(f"{name:15}{largest}{relative:10.1e}  {beyond[0] if beyond.size else 'none'}")


if __name__ == "__main__":
    main()
