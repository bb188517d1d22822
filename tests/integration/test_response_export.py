"""Files of other programs know gain, offset, saturation and bad pixels; read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest
import yaml

import distbragg as db
from distbragg.cli.main import main
from distbragg.cli.rendering import report
from distbragg.spec.load import parse_spec, parse_sweep
from tests.invariance.test_executors_bits import odd_sweep

RESPONSE = {
    "gain_adu_per_photon": 1.8,
    "offset_adu": 40,
    "readout_adu": 4.1,
    "saturation_adu": 5000,
    "dead_pixels": [[2, 3]],
    "hot_pixels": [[4, 5]],
}


@pytest.fixture(scope="module", params=["uint16", "int32", "float32"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plain = odd_sweep().model_dump(mode="json")
    plain["experiment"]["beam"]["fluence_photons_per_m2"] = 3e24
    plain["experiment"]["detector"]["response"] = RESPONSE
    plain["experiment"]["output"] = {"dtype": request.param}
    path = tmp_path_factory.mktemp("run") / f"{request.param}.zarr"
    db.sweep(parse_sweep(plain), path, cluster="serial")
    return path


@pytest.mark.spec("STK-40")
def test_overloads_are_said_to_be_of_the_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = odd_sweep().model_dump(mode="json")
    plain["experiment"]["beam"]["fluence_photons_per_m2"] = 3e24
    plain["experiment"]["detector"]["response"] = RESPONSE | {"saturation_adu": 60}
    plain["experiment"]["output"] = {"dtype": "uint16"}
    result = db.sweep(parse_sweep(plain), tmp_path / "run.zarr", cluster="serial")
    assert result.overloads > 0
    report(result)
    told = f"{result.overloads:,} pixels beyond the range of the detector, stored as its overload"
    assert f"overloads: {told} value 60;" in capsys.readouterr().out
    assert told in result._repr_html_()


def first_frame(run: Path) -> np.ndarray:
    with db.open_stack(run) as stack:
        assert stack["images"].attrs["units"] == "ADU"
        assert stack["images"].attrs["adu_per_photon"] == 1.8
        assert stack["images"].attrs["largest_value"] == 5000
        return np.asarray(stack["images"].values[0])


def exported(run: Path, form: Any, folder: Path) -> Path:
    return db.export_run(run, form, out=folder, frames="0").opens


@pytest.mark.spec("RSP-15")
def test_smv_holds_the_stored_values_and_names_pedestal_and_saturation(
    run: Path, tmp_path: Path
) -> None:
    image = fabio.open(str(exported(run, "smv", tmp_path)))
    assert float(image.header["IMAGE_PEDESTAL"]) == 40
    assert float(image.header["CCD_IMAGE_SATURATION"]) == 5000
    assert float(image.header["GAIN"]) == 1.8
    stored, seen = np.floor(first_frame(run) + 0.5), image.data > 0
    assert (image.data[seen] == stored[seen]).all()
    assert (image.data[2, 3], image.data[4, 5]) == (0, 0)


@pytest.mark.spec("RSP-15")
def test_cbf_cuts_counts_off_at_the_saturation_and_marks_bad_pixels(
    run: Path, tmp_path: Path
) -> None:
    image = fabio.open(str(exported(run, "cbf", tmp_path)))
    contents = image.header["_array_data.header_contents"]
    # Overloaded pixels hold 5000 too.
    assert "Count_cutoff 4999 counts" in contents
    assert f"N_excluded_pixels = {np.count_nonzero(image.data == -1)}\r" in contents
    assert "Photon_gain 1.8 counts, offset 40 counts" in contents
    assert (image.data[2, 3], image.data[4, 5], image.data[10, 0]) == (-1, -1, -1)


@pytest.mark.spec("RSP-15")
def test_nxmx_states_the_range_and_the_bits_of_bad_pixels(run: Path, tmp_path: Path) -> None:
    with h5py.File(exported(run, "nxmx", tmp_path)) as file:
        detector = file["/entry/instrument/detector"]
        assert detector["saturation_value"][()] == 4999
        assert detector["gain_setting"][()] == b"1.8 ADU a photon, offset 40"
        mask = detector["pixel_mask"][()]
        assert (mask[2, 3], mask[4, 5], mask[10, 0], mask[5, 5]) == (2, 8, 1, 0)
        stored = first_frame(run)
        assert (file["/entry/data/data"][0] == stored).all()


@pytest.mark.spec("RSP-15")
def test_experiment_lists_have_gain_pedestal_and_trusted_range(run: Path, tmp_path: Path) -> None:
    (panel,) = json.loads(exported(run, "expt", tmp_path).read_text())["detector"][0]["panels"]
    assert (panel["gain"], panel["pedestal"]) == (1.8, 40.0)
    low, high = panel["trusted_range"]
    assert high == pytest.approx(
        4999.0 if "32" not in run.name[:7] or "int" in run.name else 4999.995
    )
    assert low == 0.0 if run.name.startswith("uint16") else low < 40.0 - 20 * 4.1


@pytest.mark.spec("RSP-15")
def test_a_rendered_smv_image_holds_what_was_recorded(tmp_path: Path) -> None:
    plain = odd_sweep().model_dump(mode="json")["experiment"]
    plain["beam"]["fluence_photons_per_m2"] = 3e24
    plain["detector"]["response"] = {**RESPONSE, "dead_value": 7}
    plain["output"] = {"dtype": "uint16"}
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(plain))
    out = tmp_path / "still.img"
    assert main(["render", str(spec), "-o", str(out)]) == 0
    image = fabio.open(str(out))
    whole = db.render(parse_spec(plain))["images"].values
    assert (image.data == whole).all()
    assert image.data[2, 3] == 7
    assert float(image.header["IMAGE_PEDESTAL"]) == 40


@pytest.mark.spec("RSP-15")
def test_an_smv_image_of_render_tells_what_16_bits_do_not_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = odd_sweep().model_dump(mode="json")["experiment"]
    plain["detector"]["response"] = {"offset_adu": -5}
    plain["beam"]["fluence_photons_per_m2"] = 1e3
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(plain))
    assert main(["render", str(spec), "-o", str(tmp_path / "a.img")]) == 0
    assert "pixels are beyond the 16-bit range and were clipped" in capsys.readouterr().err


@pytest.mark.spec("EXP-11")
@pytest.mark.parametrize("noise", ["response", "counts"])
def test_render_writes_what_export_writes(tmp_path: Path, noise: str) -> None:
    plain = odd_sweep().model_dump(mode="json")["experiment"]
    plain["beam"]["fluence_photons_per_m2"] = 3e24
    if noise == "response":
        plain["detector"]["response"] = RESPONSE
    spec = tmp_path / "still.yaml"
    spec.write_text(yaml.safe_dump(plain))
    db.sweep(parse_sweep({"experiment": plain}), tmp_path / "still.zarr", cluster="serial")
    made = {".cbf": "cbf", ".tif": "tiff", ".h5": "nxmx", ".nxs": "nxmx"}
    for suffix, form in made.items():
        out = tmp_path / f"out{suffix}"
        assert main(["render", str(spec), "-o", str(out)]) == 0
        there = db.export_run(tmp_path / "still.zarr", form, out=tmp_path / suffix).opens
        if form != "nxmx":
            ours, theirs = (fabio.open(str(path)) for path in (out, there))
            assert (ours.data == theirs.data).all()
            assert ours.header.keys() == theirs.header.keys()
            continue
        with h5py.File(out) as ours, h5py.File(there) as theirs:
            data = ours["/entry/data/data"]
            assert not data.is_virtual
            assert (data[...] == theirs["/entry/data/data"][...]).all()
            for name in ("saturation_value", "underload_value", "pixel_mask"):
                path = f"/entry/instrument/detector/{name}"
                assert np.array_equal(ours[path][...], theirs[path][...])
    assert sorted(path.name for path in tmp_path.glob("*out*")) == sorted(map("out{}".format, made))


@pytest.mark.spec("EXP-11")
def test_render_leaves_nothing_where_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = odd_sweep().model_dump(mode="json")["experiment"]
    plain["beam"]["fluence_photons_per_m2"] = 3e29
    plain["detector"]["response"] = RESPONSE
    plain["output"] = {"overflow": "error"}
    spec = tmp_path / "still.yaml"
    spec.write_text(yaml.safe_dump(plain))
    assert main(["render", str(spec), "-o", str(tmp_path / "out.cbf")]) == 2
    assert "pixels are beyond what the detector records" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["still.yaml"]
