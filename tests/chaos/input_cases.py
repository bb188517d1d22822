"""What is mutated: a sound file of every kind that is read, and how it is read.

A new reader is one more `Case`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from tests.property import test_read_fuzz, test_spec_garbage

PIECES = (
    b"nan", b"-1", b"1e999", b"\0", b"9" * 40, b"\n", b";", b"{", b"}", b"[", b"]", b"=", b",",
    b": ", b"- ", b"&a ", b"*a", b"!!int ", b"'", b'"', b"\xff\xfe", b"\xc3", b"loop_\n", b"../",
    b"0x7fffffff", b"-0", b" ", b"\t", b"~", b"true", b"1_0", b"#", b"%", b"\r",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One kind of input.

    Attributes
    ----------
    filename : str
        The name chooses the reader where suffixes do.
    content : bytes or callable
        A sound file, or what writes one into a folder.
    read : callable
        Takes a path; returns, or raises an error of distbragg.
    """

    filename: str
    content: bytes | Callable[[Path], None]
    read: Callable[[Path], Any]

    def make(self, folder: Path) -> bytes:
        """Write the sound file into `folder` and return its bytes."""
        path = folder / self.filename
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path.read_bytes()


def _specification(path: Path) -> None:
    """Load as the command line does, then resolve and plan the last frame."""
    from distbragg.run.prepare import as_sweep

    sweep = as_sweep(path)
    sweep.frame_spec(sweep.frames - 1)


def _planned(path: Path) -> None:
    from distbragg.run.prepare import check_machine, prepare

    check_machine(prepare(path))


def _argv(path: Path) -> None:
    """Take the file for a nanoBragg command line."""
    from distbragg.spec.nanobragg import parse_nanobragg

    parse_nanobragg(path.read_text(encoding="utf-8", errors="replace").split())


def _cluster(path: Path) -> None:
    from distbragg.clusters.address import parse_cluster

    parse_cluster(str(path))


def _manifest(path: Path) -> None:
    from distbragg.store.manifest import parse_manifest

    parse_manifest(path.read_bytes(), str(path))


def _write_manifest(path: Path) -> None:
    import tempfile

    from tests.chaos.sweeps import new_run

    with tempfile.TemporaryDirectory() as folder:
        run = new_run(Path(folder) / "RUN", 3)
        path.write_bytes(run.manifest.to_bytes())


def _write_mtz(path: Path) -> None:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 21 21 21")
    mtz.set_cell_for_all(gemmi.UnitCell(20, 30, 40, 90, 90, 90))
    mtz.add_dataset("d")
    mtz.add_column("F", "F")
    mtz.set_data(np.array([[1, 2, 3, 10], [2, 0, 0, 20]], dtype=np.float32))
    mtz.write_to_file(str(path))


SPECIFICATION = b"""experiment:
  beam: {wavelength_angstrom: 1.0, fluence_photons_per_m2: 1.0e+24}
  crystal:
    cell: [40, 50, 60, 80, 90, 100]
    misset_deg: [1, 2, 3]
    block_cells: [5, 6, 7]
    mosaic: {spread_deg: 0.2, domains: 3}
  structure_factors: {default_f_electrons: 10}
  detector: {pixels_fast: 17, pixels_slow: 23, pixel_size_mm: 0.1, distance_mm: 100}
  sampling: {oversample: 2}
axes:
- {name: phi, path: goniometer.phi_deg, linspace: {start: 0, stop: 1, count: 3}}
"""

COMMAND = (
    b"-cell 40 50 60 80 90 100 -default_F 10 -lambda 1 -distance 100 -N 5 -pixel 0.1 -detpixels 17"
)

CLUSTER = b"""kind: slurm
workers: 3
cores: 4
memory: 8GB
walltime: '01:00:00'
prologue: [module load python]
"""


SWEEP = "\n".join(
    line.replace("misset_deg: random, ", "")
    for line in test_spec_garbage.SEED_TEXT.splitlines()
    if "header_files" not in line
)
"""What the property tests mutate, made sound: less a file that is not there, and one clash."""


def _reader(read: Callable[[str], Any]) -> Callable[[Path], Any]:
    return lambda path: read(str(path))


CASES: dict[str, Case] = {
    "specification": Case("sweep.yaml", SWEEP.encode(), _specification),
    "planned": Case("sweep.yaml", SPECIFICATION, _planned),
    "command-line": Case("command.txt", COMMAND, _argv),
    "cluster": Case("cluster.yaml", CLUSTER, _cluster),
    "manifest": Case("manifest.json", _write_manifest, _manifest),
    "mtz": Case("a.mtz", _write_mtz, _reader(test_read_fuzz.read_factors)),
    # Every reader that the property tests damage is damaged here too.
    **{
        name: Case(filename, content, _reader(read))
        for name, (read, filename, content) in test_read_fuzz.CASES.items()
    },
}
