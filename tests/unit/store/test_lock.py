"""The lock: one coordinator at a time, and dead ones do not block the living."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from distbragg.errors import ExitStatus, RefusedError
from distbragg.store.lock import RunLock, is_alive, read_holder

HOLD = """
import sys, time, pathlib
from distbragg.store.lock import RunLock
with RunLock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "RUN" / ".distbragg"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def holder(state):
    command = [sys.executable, "-c", HOLD, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def rewrite(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_lock_is_released_at_the_end_of_its_block(state):
    with RunLock(state):
        assert (state / "lock").exists()
    assert not (state / "lock").exists()


def test_lock_is_released_when_the_block_fails(state):
    with pytest.raises(ZeroDivisionError), RunLock(state):
        raise ZeroDivisionError
    assert not (state / "lock").exists()


@pytest.mark.spec("STK-13")
def test_second_run_is_refused_with_the_name_of_the_first(state, holder):
    with pytest.raises(RefusedError, match=rf"in use by process {holder.pid}") as caught:
        RunLock(state).__enter__()
    assert caught.value.exit_status is ExitStatus.REFUSED


def test_lock_of_a_killed_process_is_taken_over(state, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with RunLock(state):
        assert read_holder(state / "lock").pid == os.getpid()


def test_lock_of_a_stopped_but_living_process_is_kept(state, holder):
    holder.send_signal(signal.SIGSTOP)
    os.utime(state / "lock", (0, 0))
    with pytest.raises(RefusedError):
        RunLock(state).__enter__()


def test_lock_from_before_a_reboot_is_taken_over(state, holder):
    rewrite(state / "lock", boot="another boot/4026531836")
    with RunLock(state):
        pass


def test_lock_of_a_reused_process_number_is_taken_over(state, holder):
    rewrite(state / "lock", started=1.0)
    with RunLock(state):
        pass


def test_lock_of_another_machine_lives_by_its_heartbeat(state, holder):
    path = state / "lock"
    rewrite(path, host="far-away", boot="x/1")
    found = read_holder(path)
    assert is_alive(found, path, stale_s=60)
    old = time.time() - 120
    os.utime(path, (old, old))
    assert not is_alive(found, path, stale_s=60)
    with RunLock(state, stale_s=60):
        pass


def test_heartbeat_renews_the_lock(state):
    with RunLock(state, heartbeat_s=0.01):
        os.utime(state / "lock", (0, 0))
        deadline = time.monotonic() + 60
        while (state / "lock").stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (state / "lock").stat().st_mtime >= 1


def test_torn_lock_file_is_taken_over(state):
    (state / "lock").write_text('{"host": "a')
    with RunLock(state):
        pass


def test_lock_that_was_taken_over_is_not_removed_by_its_old_holder(state):
    with RunLock(state):
        rewrite(state / "lock", token="someone else")
    assert (state / "lock").exists()


def test_parts_of_one_division_run_side_by_side(state):
    with RunLock(state, part=(1, 3)), RunLock(state, part=(2, 3)):
        pass


@pytest.mark.parametrize(("first", "second"), [((1, 3), (1, 3)), ((1, 3), (1, 2))])
def test_overlapping_parts_exclude_each_other(state, first, second):
    with RunLock(state, part=first), pytest.raises(RefusedError):
        RunLock(state, part=second).__enter__()


@pytest.mark.parametrize(("first", "second"), [((1, 3), None), (None, (1, 3))])
def test_whole_run_and_a_part_exclude_each_other(state, first, second):
    with RunLock(state, part=first), pytest.raises(RefusedError):
        RunLock(state, part=second).__enter__()
