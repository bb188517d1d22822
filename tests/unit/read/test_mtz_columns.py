"""Which columns of a reflection file become |F|, and how mates and repeats are treated."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.structure_factors import read_structure_factors
from distbragg.read.symmetry import expand_to_p1
from distbragg.read.text import Reading

NAN = float("nan")


def write(path, columns, rows, spacegroup="P 1 2 1"):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(spacegroup)
    mtz.set_cell_for_all(gemmi.UnitCell(20, 30, 40, 90, 90, 90))
    mtz.add_dataset("d")
    for label, kind in columns:
        mtz.add_column(label, kind)
    mtz.set_data(np.array(rows, dtype=np.float32))
    mtz.write_to_file(str(path))
    return str(path)


def as_dict(table):
    return {tuple(i): a for i, a in zip(table.indices.tolist(), table.amplitude, strict=True)}


PAIR = [("F", "F"), ("F(+)", "G"), ("F(-)", "G")]


@pytest.mark.spec("CRY-16")
@pytest.mark.parametrize("column", [None, "F(+)", "F(-)"])
def test_a_pair_gives_each_mate_its_own_amplitude(tmp_path, column):
    path = write(tmp_path / "a.mtz", PAIR, [[1, 2, 3, 11.0, 10.0, 12.0]])
    found = as_dict(read_structure_factors(path, column=column))
    assert found == {(1, 2, 3): 10.0, (-1, 2, -3): 10.0, (-1, -2, -3): 12.0, (1, -2, 3): 12.0}


def test_the_mean_is_still_there_by_name(tmp_path):
    path = write(tmp_path / "a.mtz", PAIR, [[1, 2, 3, 11.0, 10.0, 12.0]])
    assert set(as_dict(read_structure_factors(path, column="F")).values()) == {11.0}


def test_a_mate_that_was_not_measured_has_the_other_s_amplitude(tmp_path):
    rows = [[1, 2, 3, 9.0, NAN, 12.0], [1, 2, 4, 9.0, 5.0, NAN], [1, 2, 5, 9.0, NAN, NAN]]
    found = as_dict(read_structure_factors(write(tmp_path / "a.mtz", PAIR, rows)))
    assert found[1, 2, 3] == found[-1, -2, -3] == 12.0
    assert found[1, 2, 4] == found[-1, -2, -4] == 5.0
    assert found[1, 2, 5] == found[-1, -2, -5] == 9.0


@pytest.mark.spec("CRY-16")
@pytest.mark.parametrize(
    ("labels", "mean"),
    [
        (("FP", "F(+)", "F(-)"), 9.0),
        (("F-obs", "F-obs(+)", "F-obs(-)"), 9.0),
        (("FC", "F(+)", "F(-)"), None),  # of a model, on another scale
    ],
)
def test_the_mean_stands_where_neither_mate_was_measured(tmp_path, labels, mean):
    columns = list(zip(labels, "FGG", strict=True))
    rows = [[1, 2, 3, 9.0, 4.0, 5.0], [1, 2, 5, 9.0, NAN, NAN]]
    table = read_structure_factors(write(tmp_path / "a.mtz", columns, rows), column=labels[1])
    found = as_dict(table)
    assert found[1, 2, 3] == 4.0
    assert found.get((1, 2, 5)) == found.get((-1, -2, -5)) == mean
    note = f"1 reflections without either mate have the mean, {labels[0]}"
    assert (note in [item.text for item in table.notes]) == (mean is not None)


@pytest.mark.spec("CRY-42")
def test_reflections_that_the_group_forbids_are_told(tmp_path):
    columns = [("FC", "F")]
    rows = [[0, 1, 0, 9.0], [0, 2, 0, 7.0], [0, 3, 0, 0.0]]
    table = read_structure_factors(write(tmp_path / "a.mtz", columns, rows, "P 1 21 1"))
    assert as_dict(table)[0, 1, 0] == 9.0
    told = [note.text for note in table.notes if note.kind == "warning"]
    assert told == ["1 reflections that P 1 21 1 forbids are listed, and kept as they are"]


def test_centric_mates_are_averaged(tmp_path):
    path = write(tmp_path / "a.mtz", PAIR, [[1, 0, 3, 9.0, 10.0, 12.0]])
    assert as_dict(read_structure_factors(path)) == {(1, 0, 3): 11.0, (-1, 0, -3): 11.0}


def test_an_empty_pair_leaves_the_mean(tmp_path):
    path = write(tmp_path / "a.mtz", PAIR, [[1, 2, 3, 11.0, NAN, NAN]])
    assert as_dict(read_structure_factors(path))[-1, -2, -3] == 11.0


def test_an_empty_column_is_passed_over(tmp_path):
    columns = [("F", "F"), ("FC", "F")]
    path = write(tmp_path / "a.mtz", columns, [[1, 2, 3, NAN, 2.0], [1, 2, 4, NAN, 3.0]])
    assert as_dict(read_structure_factors(path))[1, 2, 3] == 2.0


def test_the_usual_name_wins_among_pairs(tmp_path):
    columns = [(f"{stem}({sign})", "G") for stem in ("FX", "FP") for sign in "+-"]
    path = write(tmp_path / "a.mtz", columns, [[1, 2, 3, 1.0, 2.0, 3.0, 4.0]])
    assert as_dict(read_structure_factors(path))[1, 2, 3] == 3.0


def test_half_a_pair_is_refused(tmp_path):
    path = write(tmp_path / "a.mtz", [("F(+)", "G")], [[1, 2, 3, 10.0]])
    with pytest.raises(InputError, match="no column of amplitudes"):
        read_structure_factors(path)
    with pytest.raises(InputError, match="one half of an anomalous pair"):
        read_structure_factors(path, column="F(+)")


def test_pairs_of_intensities_are_refused_with_the_reason(tmp_path):
    path = write(tmp_path / "a.mtz", [("I(+)", "K"), ("I(-)", "K")], [[1, 2, 3, 1.0, 2.0]])
    for column in (None, "I(+)"):
        with pytest.raises(InputError, match="French and Wilson"):
            read_structure_factors(path, column=column)


@pytest.mark.spec("CRY-16")
def test_unmerged_amplitudes_are_averaged(tmp_path):
    columns = [("M/ISYM", "Y"), ("BATCH", "B"), ("F", "F")]
    rows = [[1, 2, 3, 1, 1, 5.0], [1, 2, 3, 2, 7, 6.0], [1, 2, 3, 3, 9, 10.0], [1, 2, 4, 1, 1, 2.0]]
    found = as_dict(read_structure_factors(write(tmp_path / "a.mtz", columns, rows)))
    assert found[1, 2, 3] == found[-1, -2, -3] == 7.0
    assert found[1, 2, 4] == 2.0


@pytest.mark.spec("CRY-16")
def test_unmerged_intensities_are_refused_with_the_reason(tmp_path):
    columns = [("M/ISYM", "Y"), ("I", "J")]
    path = write(tmp_path / "a.mtz", columns, [[1, 2, 3, 1, 5.0], [1, 2, 3, 2, 6.0]])
    with pytest.raises(InputError, match=r"not merged.*aimless"):
        read_structure_factors(path)


def test_repeated_reflections_of_a_merged_list_are_averaged(tmp_path):
    rows = [[1, 2, 3, 10.0], [-1, 2, -3, 13.0]]
    found = as_dict(read_structure_factors(write(tmp_path / "a.mtz", [("F", "F")], rows)))
    assert len(found) == 4
    assert set(found.values()) == {11.5}


@pytest.mark.spec("CRY-16")
def test_sf_mmcif_pairs(tmp_path):
    path = tmp_path / "r.cif"
    path.write_text(
        "data_r\n_cell.length_a 20\n_cell.length_b 30\n_cell.length_c 40\n"
        "_cell.angle_alpha 90\n_cell.angle_beta 90\n_cell.angle_gamma 90\n"
        "_symmetry.space_group_name_H-M 'P 1 2 1'\nloop_\n_refln.index_h\n_refln.index_k\n"
        "_refln.index_l\n_refln.F_meas_au\n_refln.pdbx_F_plus\n_refln.pdbx_F_minus\n"
        "1 2 3 11 10 12\n1 2 4 9 ? 8\n"
    )
    found = as_dict(read_structure_factors(str(path)))
    assert (found[1, 2, 3], found[-1, -2, -3], found[1, 2, 4]) == (10.0, 12.0, 8.0)
    assert found == as_dict(read_structure_factors(str(path), column="pdbx_F_minus"))
    assert as_dict(read_structure_factors(str(path), column="F_meas_au"))[-1, -2, -3] == 11.0


@pytest.mark.parametrize("far", [4, 60])
def test_full_and_sparse_boxes_expand_alike(far):
    """A stray reflection far away makes the box sparse; the rest must not notice."""
    random = np.random.default_rng(far)
    indices = random.integers(-4, 5, size=(70, 3))
    amplitude = random.random(70)
    group = gemmi.SpaceGroup("P 4 21 2")
    table = expand_to_p1(
        np.vstack([indices, [far] * 3]), np.append(amplitude, 7.0), group, Reading("x")
    )
    sums: dict[tuple[int, ...], list[float]] = {}
    for index, value in zip([*indices.tolist(), [far] * 3], [*amplitude, 7.0], strict=True):
        for op in group.operations().sym_ops:
            image = op.apply_to_hkl(index)
            for sign in (1, -1):
                sums.setdefault(tuple(sign * i for i in image), []).append(value)
    assert table.indices.tolist() == [list(index) for index in sorted(sums)]
    means = [np.mean(sums[index]) for index in sorted(sums)]
    np.testing.assert_allclose(table.amplitude, means, rtol=1e-12)
