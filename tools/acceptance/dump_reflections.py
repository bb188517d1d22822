"""Run by Debian's Python, which has DIALS: a reflection table as NumPy arrays.

python3 dump_reflections.py integrated.refl OUT.npz
"""

import sys

import numpy as np
from dials.array_family import flex


def main() -> None:
    """Write Miller indices, intensities and which of them are integrated."""
    table = flex.reflection_table.from_file(sys.argv[1])
    flags = table.flags
    np.savez(
        sys.argv[2],
        hkl=np.array(table["miller_index"], dtype=np.int64),
        summed=np.array(table["intensity.sum.value"]),
        fitted=np.array(table["intensity.prf.value"]),
        summed_ok=np.array(table.get_flags(flags.integrated_sum)),
        fitted_ok=np.array(table.get_flags(flags.integrated_prf)),
    )


if __name__ == "__main__":
    main()
