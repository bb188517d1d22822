"""Run by Debian's Python, which has DIALS: a reflection table as NumPy arrays.

python3 -I dump_reflections.py TABLE.refl OUT.npz

The script's own folder has a module `dials` as well: `-I` keeps it out of the way.
"""

import sys

import numpy as np
from dials.array_family import flex


def main() -> None:
    """Write where the spots are, whether they are indexed, and what they integrate to."""
    table = flex.reflection_table.from_file(sys.argv[1])
    flags = table.flags
    x, y, z = table["xyzobs.px.value"].parts()
    arrays = {
        "hkl": np.array(table["miller_index"], dtype=np.int64).reshape(-1, 3),
        "panel": np.array(table["panel"], dtype=np.int64),
        "x": np.array(x),
        "y": np.array(y),
        "z": np.array(z),
        "indexed": np.array(table.get_flags(flags.indexed)),
    }
    for name, column, flag in (
        ("summed", "intensity.sum.value", flags.integrated_sum),
        ("fitted", "intensity.prf.value", flags.integrated_prf),
    ):
        if column in table:
            arrays[name] = np.array(table[column])
            arrays[f"{name}_ok"] = np.array(table.get_flags(flag))
    np.savez(sys.argv[2], **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
