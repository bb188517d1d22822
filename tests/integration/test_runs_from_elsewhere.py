"""A run that somebody else packed: its links, pipes and devices lead nowhere; nothing hangs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from distbragg.run.verify import seal
from tests import loaded

TIMEOUT_S = 60.0


def link_to_zero(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


PLACES = ["phi/c/0", "images/zarr.json", "images/c/2/0/0/0", ".distbragg/SEALED.digests"]


@pytest.mark.spec("SEC-3")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("replace", [link_to_zero, pipe])
def test_verify_and_seal_end_and_name_what_is_no_file(
    finished: Path, tmp_path: Path, place: str, replace: Callable[[Path], None]
) -> None:
    path = shutil.copytree(finished, tmp_path / "RUN")
    seal(path)
    replace(path / place)
    for command in (["verify", "--audit", "1"], ["seal"], ["repair", "--cluster", "serial"]):
        done = loaded.run(["-m", "distbragg", command[0], path, *command[1:]], timeout=TIMEOUT_S)
        assert done.returncode == 5, (command, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert "is a link, a pipe or a device" in done.stdout + done.stderr
    assert (path / place).is_symlink() or (path / place).is_fifo()


@pytest.mark.spec("SEC-3")
def test_no_command_follows_a_folder_that_is_a_link(finished: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "id_rsa").write_text("KEY")
    for place in (".distbragg/partial", "images/c/3", "labels", ".distbragg/foreign"):
        path = shutil.copytree(finished, tmp_path / place.replace("/", "-"))
        shutil.rmtree(path / place, ignore_errors=True)
        (path / place).symlink_to(victim)
        (path / "images" / "c" / "notes.txt").write_text("stray")
        for command in (["verify"], ["repair", "--cluster", "serial"], ["seal"]):
            loaded.run(["-m", "distbragg", command[0], path, *command[1:]], timeout=TIMEOUT_S)
        assert [item.name for item in victim.iterdir()] == ["id_rsa"]
        assert (victim / "id_rsa").read_text() == "KEY"
