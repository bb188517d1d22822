"""Files that pages take for there, as small as can be.

A comment `<!-- test: given RUN sweep.yaml -->` puts them into the folder of the page;
`first-image.md:experiment.yaml` is the file that this page of the tutorial has its reader save.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.run.start import made_up_molecule
from tests.buckets import make_bucket, s3_server
from tests.docs.blocks import ROOT, read_page

SMALL = """\
beam:
  wavelength_angstrom: 1.0
  flux_photons_per_s: 1.0e+12
  exposure_s: 0.1
  size_mm: 0.05
crystal:
  cell: [79.1, 79.1, 38.0, 90, 90, 90]
  misset_deg: [10, 20, 30]
  block_cells: [12, 12, 12]
structure_factors: {default_f_electrons: 100}
detector: {distance_mm: 150, pixel_size_mm: 1.6, pixels_fast: 64, pixels_slow: 64}
sampling: {oversample: 1}
"""
SWEEP = """\
experiment: experiment.yaml
axes:
  - {name: spread, path: crystal.mosaic.spread_deg, values: [0.0, 0.2]}
  - {name: phi, path: goniometer.phi_deg, linspace: {start: 0.0, stop: 1.0, count: 2}}
"""
RUN = """\
experiment:
  beam: {wavelength_angstrom: 1.0, flux_photons_per_s: 1.0e+12, exposure_s: 0.1, size_mm: 0.05}
  crystal:
    cell: [79.1, 79.1, 38.0, 90, 90, 90]
    block_cells: [12, 12, 12]
    illuminated_blocks: 4000
  structure_factors: {default_f_electrons: 100}
  detector: {distance_mm: 150, pixel_size_mm: 1.6, pixels_fast: 64, pixels_slow: 64}
  sampling: {oversample: 1, dmin_angstrom: 5}
  noise: {photon: true}
  output: {dtype: uint32, labels: true}
axes:
  - {name: orientation, random_orientations: {count: 10, seed: 5}}
  - {name: mosaic_spread, path: crystal.mosaic.spread_deg, values: [0.0, 0.2]}
"""
NOISY = RUN.replace("uint32, labels: true", "float32, maps: [bragg, background]").replace(
    "count: 10", "count: 2"
)
CLEAN = """\
experiment:
  beam: {wavelength_angstrom: 1.0, fluence_photons_per_m2: 1.0e+19}
  crystal: {cell: [79.1, 79.1, 38.0, 90, 90, 90], block_cells: [12, 12, 12]}
  structure_factors: {default_f_electrons: 100}
  detector: {preset: eiger_1m, distance_mm: 150}
  sampling: {oversample: 1}
  background: {water_um: 10}
"""
SHOT = """\
beam: {energy_ev: 9000, flux_photons_per_s: 1.0e+12, exposure_s: 0.1, size_mm: 0.02}
crystal:
  {cell: [79.1, 79.1, 38, 90, 90, 90], block_cells: 30, specimen: {edges_um: [20, 20, 20]}}
structure_factors: {file: reflections.hkl}
detector: {distance_mm: 150, pixel_size_mm: 0.8, pixels_fast: 128, pixels_slow: 128}
background: {materials: [{name: water, thickness_um: 20}]}
"""
REFLECTIONS = "".join(f"{h} {k} 1 {100 + 10 * h + k}\n" for h in range(5) for k in range(5))


def make_run(path: Path) -> None:
    """Render the small run that pages call RUN."""
    sweep = path.parent / "of-the-run.yaml"
    sweep.write_text(RUN, encoding="utf-8")
    resume(create(sweep, path), cluster="serial", progress=False)
    sweep.unlink()


def make_entry(path: Path) -> None:
    """Make up a molecule in the place of an entry of the Protein Data Bank."""
    path.write_text(made_up_molecule(), encoding="utf-8")


def make_demo(path: Path) -> None:
    """Render the demonstration on fewer pixels."""
    small = ("detector.pixels_fast=64", "detector.pixels_slow=64", "detector.pixel_size_mm=1")
    demo = ROOT / "distbragg" / "data" / "demo.yaml"
    resume(create(demo, path, small), cluster="serial", progress=False)


def link_checkout(path: Path) -> None:
    """Put a folder of the source tree here, with the data its recipes name."""
    path.symlink_to(ROOT / path.name)
    data = path.parent / "distbragg"
    if not data.exists():
        data.mkdir()
        (data / "data").symlink_to(ROOT / "distbragg" / "data")


@contextlib.contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """Serve an S3 of this machine with a bucket called `bucket`; give its variables."""
    with s3_server() as address:
        make_bucket(address, "bucket")
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        yield {"AWS_ENDPOINT_URL": address, "AWS_REGION": "eu-central-1", **keys}


def shown(page: str, name: str) -> str:
    """Return the block that a page has the reader save under a name; most are the tutorial's."""
    path = ROOT / page if (ROOT / page).exists() else ROOT / "docs" / "tutorial" / page
    (text,) = (block.text for block in read_page(path) if block.file == name)
    return text


_CRYSTAL = """--- Begin crystal
astar = +0.1264000 +0.0000000 +0.0000000 nm^-1
bstar = +0.0000000 +0.1264000 +0.0000000 nm^-1
cstar = +0.0000000 +0.0000000 +0.2632000 nm^-1
--- End crystal
"""
STREAM = "CrystFEL stream format 2.3\n" + "".join(
    f"----- Begin chunk -----\nphoton_energy_eV = 9500\n{_CRYSTAL * count}----- End chunk -----\n"
    for count in (1, 2, 0)
)

GIVEN: dict[str, Callable[[Path], object]] = {
    "RUN": make_run,
    "drawn.zarr": make_run,
    "demo.zarr": make_demo,
    "experiment.yaml": lambda path: path.write_text(SMALL),
    "shot.yaml": lambda path: path.write_text(SHOT),
    "sweep.yaml": lambda path: path.write_text(SWEEP),
    "clean.yaml": lambda path: path.write_text(CLEAN),
    "noisy.yaml": lambda path: path.write_text(NOISY),
    "reflections.hkl": lambda path: path.write_text(REFLECTIONS),
    "P1.hkl": lambda path: path.write_text(REFLECTIONS),
    "A.mat": lambda path: path.write_text("0.0126 0 0\n0 0.0126 0\n0 0 0.0263\n"),
    "found.stream": lambda path: path.write_text(STREAM),
    "1orc.pdb": make_entry,
    "entry.pdb": make_entry,
    "lysozyme.pdb": make_entry,
    "insulin.pdb": make_entry,
    "4et8.pdb": make_entry,
    "workflows": link_checkout,
    "cluster": link_checkout,
}
