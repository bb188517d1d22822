"""DIALS experiment lists: the geometry and the true crystal of a series, without its images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distbragg.export.files import write_whole
from distbragg.export.header import FrameHeader, PanelHeader
from distbragg.export.scaling import COUNT_CUTOFF
from distbragg.models.vectors import Triad, Vector

_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a header does not say of a frame, in the frame of the header."""

    wavelength: float  # Å
    lattices: tuple[Triad, ...]
    """Å, cell vectors of each: of a rotation at spindle angle 0, of a still as it stands; none of a
    miss."""
    numbers: tuple[int, ...]  # of the lattices, as labels have them
    polarization: Vector  # direction of the E-vector
    kahn_factor: float


def experiment_names(truths: Sequence[Truth]) -> dict[tuple[int, int], str]:
    """Return the identifier of every experiment by place of its frame and lattice, in order."""
    pairs = [(place, number) for place, truth in enumerate(truths) for number in truth.numbers]
    return {pair: "frame {}, lattice {}".format(*pair) for pair in pairs}


def write_expt(path: str | Path, header: FrameHeader, truths: Sequence[Truth], frames: int) -> None:
    """Write an experiment list of one series of `frames` frames, with the header of its first.

    Each lattice is an experiment with a crystal of its own: of a rotation those of `truths[0]`, of
    stills those of each frame, with a beam for each that differs. Where nothing diffracts there is
    one experiment without a crystal.
    """
    goniometer = {
        "rotation_axis": list(header.spindle),
        "fixed_rotation": _IDENTITY,
        "setting_rotation": _IDENTITY,
    }
    scan = {
        "image_range": [1, frames],
        "batch_offset": 0,
        "oscillation": [header.phi, header.oscillation],
        "exposure_time": [header.exposure] * frames,
        "epochs": [index * header.exposure for index in range(frames)],
        "valid_image_ranges": {},
    }
    still = header.oscillation == 0.0
    parts = ["beam", "detector", *([] if still else ["goniometer", "scan"])]
    experiment = {"__id__": "Experiment", "identifier": "", **dict.fromkeys(parts, 0)}
    beams = [json.dumps(_beam(truth)) for truth in truths]
    number_of = {beam: number for number, beam in enumerate(dict.fromkeys(beams))}
    plain = {
        "__id__": "ExperimentList",
        "experiment": [
            {
                **experiment,
                "identifier": name,
                "beam": number_of[beams[place]],
                "crystal": number,
            }
            for number, ((place, _), name) in enumerate(experiment_names(truths).items())
        ]
        or [experiment],
        "imageset": [],
        "beam": [json.loads(beam) for beam in number_of],
        "detector": [{"panels": [_panel(panel, header) for panel in header.panels]}],
        "goniometer": [] if still else [goniometer],
        "scan": [] if still else [scan],
        "crystal": [_crystal(lattice) for truth in truths for lattice in truth.lattices],
        "profile": [],
        "scaling_model": [],
    }
    write_whole(path, (json.dumps(plain, indent=2) + "\n").encode("ascii"))


def _crystal(real_space: Triad) -> dict[str, Any]:
    cell = {f"real_space_{axis}": list(row) for axis, row in zip("abc", real_space, strict=True)}
    return {"__id__": "crystal", **cell, "space_group_hall_symbol": " P 1"}


def _beam(truth: Truth) -> dict[str, Any]:
    """DIALS keeps the direction towards the source and the normal of the E-vector's plane."""
    normal = np.cross(np.array([0.0, 0.0, 1.0]), truth.polarization)
    length = float(np.linalg.norm(normal))
    return {
        "direction": [0.0, 0.0, 1.0],
        "wavelength": truth.wavelength,
        "divergence": 0.0,
        "sigma_divergence": 0.0,
        "polarization_normal": [0.0, 1.0, 0.0] if length == 0.0 else (normal / length).tolist(),
        "polarization_fraction": 0.5 * (1.0 + truth.kahn_factor),
        "flux": 0.0,
        "transmission": 1.0,
    }


def _panel(panel: PanelHeader, header: FrameHeader) -> dict[str, Any]:
    own, trusted = header.recording, [-1.0, float(COUNT_CUTOFF if header.counts else 1e30)]
    if own is not None:
        trusted = [own.lowest, own.highest]
    absorbs = panel.thickness > 0.0 and panel.mu > 0.0
    strategy = "ParallaxCorrectedPxMmStrategy" if absorbs else "SimplePxMmStrategy"
    return {
        "name": panel.name,
        "type": "SENSOR_PAD",
        "fast_axis": list(panel.fast),
        "slow_axis": list(panel.slow),
        "origin": list(panel.origin),
        "raw_image_offset": [0, 0],
        "image_size": [panel.shape[1], panel.shape[0]],
        "pixel_size": [panel.pixel_size, panel.pixel_size],
        "trusted_range": trusted,
        "thickness": panel.thickness,
        "material": panel.material if absorbs else "",
        "mu": panel.mu,
        "identifier": "",
        "mask": [],
        "gain": 1.0 if own is None else own.gain,
        "pedestal": 0.0 if own is None else own.offset,
        "px_mm_strategy": {"type": strategy},
    }
