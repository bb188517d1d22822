"""Presets of common detectors: sizes of their makers, gaps as mask or as panels, segments."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.plan.memory import spec_pixels
from distbragg.read.preset import preset_names, read_preset
from distbragg.run.render import render_image
from distbragg.spec.load import parse_spec

SIZES = {
    "pilatus_100k": (195, 487),
    "pilatus_300k": (619, 487),
    "pilatus3_2m": (1679, 1475),
    "pilatus3_6m": (2527, 2463),
    "eiger_1m": (1065, 1030),
    "eiger_4m": (2167, 2070),
    "eiger_9m": (3269, 3110),
    "eiger_16m": (4371, 4150),
    "eiger2_1m": (1062, 1028),
    "eiger2_4m": (2162, 2068),
    "eiger2_9m": (3262, 3108),
    "eiger2_16m": (4362, 4148),
    "rayonix_mx225": (3072, 3072),
    "rayonix_mx300": (4096, 4096),
    "rayonix_mx340hs": (3840, 3840),
    "jungfrau_1m": (1064, 1030),
    "jungfrau_4m": (2164, 2068),
    "jungfrau_16m": (4364, 4144),
    "jungfrau_4m_spb": (514, 1030),
    "agipd_1m": (64, 128),
}
"""Pixels (slow, fast) as the makers give them: of the whole image, or of each segment."""


def spec(**detector):
    return parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": {"cell": [31, 37, 41, 85, 95, 100], "block_cells": [3, 3, 3]},
            "structure_factors": {"default_f_electrons": 10.0},
            "sampling": {"oversample": 1},
            "detector": {"distance_mm": 120.0, **detector},
        }
    )


def panels(**detector):
    return build_experiment(spec(**detector)).detector.panels


@pytest.mark.spec("GEO-17")
def test_every_preset_has_the_size_its_maker_gives_and_names_its_source():
    assert set(preset_names()) == set(SIZES)
    for name, pixels in SIZES.items():
        preset = read_preset(name)
        assert preset.pixels == pixels, name
        assert preset.source
        assert preset.title


@pytest.mark.spec("GEO-17")
@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_preset_gives_panels_that_do_not_overlap(name):
    found = panels(preset=name)
    preset = read_preset(name)
    assert len(found) == (len(preset.segments) or 1)
    assert all(panel.sensor.absorbs for panel in found)
    boxes = []
    for panel in found:
        ends = [
            panel.origin + panel.pixel_size * (f * panel.pixels[1] * panel.fast
                                               + s * panel.pixels[0] * panel.slow)
            for f in (0, 1) for s in (0, 1)
        ]  # fmt: skip
        boxes.append((np.min(ends, axis=0)[1:] + 1e-9, np.max(ends, axis=0)[1:] - 1e-9))
    low, high = (np.array(side) for side in zip(*boxes, strict=True))
    overlap = ((low[:, None] < high[None]) & (low[None] < high[:, None])).all(axis=2)
    assert overlap.sum() == len(found)


@pytest.mark.spec("GEO-17")
def test_gaps_are_masked_or_stand_between_panels():
    (whole,) = panels(preset="pilatus_300k", xbeam_mm=40, ybeam_mm=30)
    assert whole.active.sum() == 3 * 195 * 487
    assert not whole.active[195:212].any()
    assert whole.active[212:407].all()
    cut = panels(preset="pilatus_300k", xbeam_mm=40, ybeam_mm=30, gaps="panels")
    assert [panel.shape for panel in cut] == [(195, 487)] * 3
    for row, panel in zip((0, 212, 424), cut, strict=True):
        expected = whole.origin + row * whole.pixel_size * whole.slow
        np.testing.assert_allclose(panel.origin, expected, rtol=1e-14, atol=1e-18)
        assert panel.close_distance == whole.close_distance


@pytest.mark.spec("GEO-17")
def test_masked_and_cut_modules_show_the_same_pixels():
    masked = render_image(spec(preset="pilatus_300k", sensor={"thickness_um": 0}))
    cut = render_image(
        spec(preset="pilatus_300k", sensor={"thickness_um": 0}, gaps="panels"),
    )
    assert masked.shape == (619, 487)
    assert cut.shape == (3, 195, 487)
    together = np.stack([masked[row : row + 195] for row in (0, 212, 424)])
    np.testing.assert_allclose(cut, together, rtol=2e-5, atol=2e-6 * masked.max())


@pytest.mark.spec("GEO-17")
def test_a_mask_and_a_region_of_the_image_reach_the_modules(tmp_path):
    mask = np.ones((619, 487), dtype=np.uint8)
    mask[300, 7] = 0
    np.save(tmp_path / "m.npy", mask)
    found = panels(
        preset="pilatus_300k",
        gaps="panels",
        mask_file=str(tmp_path / "m.npy"),
        roi=(5, 400, 0, 500),
    )
    assert found[0].active[:, 5:401].all()
    assert not found[0].active[:, :5].any()
    assert not found[1].active[300 - 212, 7]
    assert found[2].active.sum() == (501 - 424) * 396


@pytest.mark.spec("GEO-17")
def test_segments_stand_about_the_beam_seen_along_it():
    found = panels(preset="agipd_1m", distance_mm=200)
    assert len(found) == 128
    first = found[0]
    assert (first.name, found[-1].name) == ("m0a0", "m15a7")
    # MOSFLM's frame: beam x, y up the slow axis backwards, z right: -525 left is +525 right.
    np.testing.assert_allclose(first.origin, [0.2, 0.125, 0.105], rtol=2e-3)
    np.testing.assert_allclose(first.fast, [0, -1, 0], atol=1e-15)
    np.testing.assert_allclose(first.slow, [0, 0, -1], atol=1e-15)
    assert first.close_distance == first.distance == 0.2


@pytest.mark.spec("GEO-17")
def test_explicit_sensor_fields_win_over_those_of_the_preset():
    (thick,) = panels(preset="eiger2_1m", sensor={"thickness_um": 750, "material": "CdTe"})
    (plain,) = panels(preset="eiger2_1m")
    (none,) = panels(preset="eiger2_1m", sensor={"thickness_um": 0})
    assert plain.sensor.back[-1] == pytest.approx(450e-6)
    assert thick.sensor.back[-1] == pytest.approx(750e-6)
    assert thick.sensor.attenuation > 5 * plain.sensor.attenuation
    assert not none.sensor.absorbs


def test_the_plan_knows_the_size_of_a_preset():
    assert spec_pixels(spec(preset="eiger2_16m")) == (4362, 4148)


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ({"preset": "eiger2_16"}, "did you mean eiger2_16m"),
        ({"preset": "nothing like it"}, "distbragg presets"),
        ({"preset": "eiger2_1m", "pixels_fast": 3}, "given together with preset"),
        ({"preset": "eiger2_1m", "pixel_size_mm": 3}, "given together with preset"),
        ({"gaps": "mask"}, "no effect"),
        ({"preset": "agipd_1m", "roi": (0, 1, 0, 1)}, "segments"),
    ],
)
def test_what_contradicts_a_preset_is_refused(detector, message):
    with pytest.raises(InputError, match=message):
        panels(**detector)


def test_the_command_lists_every_preset(capsys):
    assert main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in SIZES)
    assert main(["presets", "--json"]) == 0
    assert '"eiger2_16m"' in capsys.readouterr().out
