"""Provenance: plain data that says what made a run, and fails nowhere."""

from __future__ import annotations

import json
import subprocess

import distbragg
from distbragg.store import manifest as provenance


def test_provenance_is_plain_and_names_versions():
    found = json.loads(json.dumps(provenance.gather_provenance()))
    assert found["distbragg"] == distbragg.__version__
    assert found["packages"]["numpy"] != "absent"
    assert found["created"].endswith("+00:00")


def test_commit_is_that_of_the_checkout_with_a_mark_for_changes(monkeypatch):
    answers = {"rev-parse": "abc123", "status": " M file"}
    monkeypatch.setattr(provenance, "_git", lambda root, command, *rest: answers[command])
    monkeypatch.setattr(provenance.Path, "exists", lambda path: True)
    provenance.source_commit.cache_clear()
    assert provenance.source_commit() == "abc123+"
    answers["status"] = ""
    provenance.source_commit.cache_clear()
    assert provenance.source_commit() == "abc123"
    provenance.source_commit.cache_clear()


def test_without_git_the_commit_is_empty(monkeypatch):
    def absent(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    monkeypatch.setattr(provenance.Path, "exists", lambda path: True)
    provenance.source_commit.cache_clear()
    assert provenance.source_commit() == ""
    provenance.source_commit.cache_clear()


def test_absent_package_is_said_to_be_absent(monkeypatch):
    monkeypatch.setattr(provenance, "_PACKAGES", ("no-such-package-anywhere",))
    assert provenance.gather_provenance()["packages"] == {"no-such-package-anywhere": "absent"}
