"""The manifest: any change of it is noticed, and its errors are one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distbragg.errors import DamageError, DistbraggError, InputError
from distbragg.spec.canonical import canonical_json
from distbragg.store import manifest as manifest_module
from distbragg.store.files import sha256_bytes
from distbragg.store.layout import MANIFEST_FILE, STATE_DIR, layout_from_plain
from distbragg.store.manifest import describe_difference, load_manifest, parse_manifest
from distbragg.store.run_directory import open_run

from .conftest import create_tiny, tiny_sweep


def manifest_path(run):
    return run.path / STATE_DIR / MANIFEST_FILE


def resign(body):
    body.pop("content_hash", None)
    body["content_hash"] = sha256_bytes(canonical_json(body).encode())
    return canonical_json(body).encode()


def test_manifest_reads_back_as_written(run):
    manifest = load_manifest(run.objects)
    assert manifest == run.manifest
    assert manifest.to_bytes() == manifest_path(run).read_bytes()
    assert len(run.run_id) == 64


@pytest.mark.spec("STK-6")
@pytest.mark.parametrize(
    ("output", "codec"),
    [
        ({}, ("lz4", "byte")),
        ({"dtype": "uint16"}, ("lz4", "bit")),
        ({"dtype": "uint16", "compressor": "zstd"}, ("zstd", "byte")),
    ],
)
def test_bits_of_counts_are_shuffled_and_a_layout_that_says_nothing_of_it_means_bytes(
    tmp_path, output, codec
):
    counted = {"photon": "dtype" in output}
    run = create_tiny(tmp_path / "RUN", tiny_sweep(output=output, noise=counted))
    assert (run.layout.compressor, run.layout.shuffle) == codec
    plain = json.loads(manifest_path(run).read_bytes())["identity"]["layout"]
    assert plain.get("shuffle", "byte") == codec[1]
    assert ("shuffle" in plain) == (codec[1] == "bit")
    assert layout_from_plain(plain) == run.layout


def test_run_id_is_the_same_wherever_the_run_lies(tmp_path):
    first, second = create_tiny(tmp_path / "A"), create_tiny(tmp_path / "B")
    assert first.run_id == second.run_id


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_any_changed_byte_is_one_clear_error(run, data):
    content = bytearray(manifest_path(run).read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DistbraggError) as caught:
        parse_manifest(bytes(content), "manifest.json")
    assert "\n" not in str(caught.value)
    assert "manifest.json" in str(caught.value)


def test_number_that_is_written_otherwise_is_damage(run):
    content = manifest_path(run).read_bytes()
    changed = content.replace(b"[0.0,1.0,", b"[0e0,1.0,")
    assert json.loads(changed) == json.loads(content)
    assert changed != content
    with pytest.raises(DamageError, match="does not match its hash"):
        parse_manifest(changed, "m")


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_truncated_manifest_is_damage(run, cut):
    content = manifest_path(run).read_bytes()[:cut]
    manifest_path(run).write_bytes(content)
    with pytest.raises(DamageError):
        open_run(run.path)


def test_oversized_manifest_is_not_read(run, monkeypatch):
    monkeypatch.setattr(manifest_module, "MAX_BYTES", 100)
    with pytest.raises(DamageError, match="larger than 100 bytes"):
        load_manifest(run.objects)


def test_manifest_of_a_later_schema_asks_for_the_other_version(run):
    body = json.loads(manifest_path(run).read_bytes())
    body["identity"]["schema"] = 99
    with pytest.raises(InputError, match="schema 99"):
        parse_manifest(resign(body), "m")


@pytest.mark.parametrize("section", ["identity", "compute", "summary", "provenance"])
def test_missing_section_is_damage_even_with_a_valid_hash(run, section):
    body = json.loads(manifest_path(run).read_bytes())
    del body[section]
    with pytest.raises(DamageError, match="missing or unknown"):
        parse_manifest(resign(body), "m")


@pytest.mark.parametrize(
    ("field", "value"),
    [("unit_shape", [0, 1]), ("unit_shape", [1]), ("dtype", "complex64"), ("dims", [["phi", -1]])],
)
def test_impossible_layout_is_damage_even_with_a_valid_hash(run, field, value):
    body = json.loads(manifest_path(run).read_bytes())
    body["identity"]["layout"][field] = value
    with pytest.raises(DamageError, match="layout"):
        parse_manifest(resign(body), "m")


@pytest.mark.spec("SEC-4")
@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("summary", -1),
        ("summary", {"physics": "\ud800"}),
        ("provenance", []),
        ("plan", {}),
        ("numeric_class", {"maths": 1}),
        ("sweep", {"experiment": 1}),
    ],
)
def test_section_of_another_type_is_damage_even_with_valid_hashes(run, section, value):
    body = json.loads(manifest_path(run).read_bytes())
    place = body if section in body else body["identity"]
    place[section] = value
    body["run_id"] = sha256_bytes(canonical_json(body["identity"]).encode())
    with pytest.raises(DamageError) as caught:
        parse_manifest(resign(body), "manifest.json")
    assert "\n" not in str(caught.value)


def test_identity_that_does_not_give_the_run_id_is_damage(run):
    body = json.loads(manifest_path(run).read_bytes())
    body["identity"]["physics_hash"] = "0" * 64
    with pytest.raises(DamageError, match="run id"):
        parse_manifest(resign(body), "m")


def test_deeply_nested_json_is_damage_not_a_crash():
    with pytest.raises(DamageError):
        parse_manifest(b"[" * 100_000, "m")


def test_folder_that_is_no_run_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="is not a distbragg run"):
        open_run(tmp_path)


def test_difference_is_told_by_path_and_shortened():
    ours = {"a": {"b": 1, "c": [1, 2]}, "d": "x" * 200}
    theirs = {"a": {"b": 2, "c": [1, 2]}, "e": True}
    text = describe_difference(ours, theirs)
    assert text.startswith("a.b: 2 in the run, 1 now; d: ")
    assert len(text) < 300
    assert describe_difference(ours, ours) == ""
