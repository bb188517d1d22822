"""The lease of a run: never two drivers, and a dead one blocks nobody for longer than its lease."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distbragg.errors import DamageError, EnvironmentFailure, ExitStatus, RefusedError
from distbragg.store import lease as lease_module
from distbragg.store.bucket_objects import BucketObjects
from distbragg.store.lease import Lease, lease_holders, lease_key, read_lease
from distbragg.store.objects import Objects, objects_at
from tests import loaded
from tests.loaded import Started

HOLD = """
import sys, time
from distbragg.store.lease import Lease
from distbragg.store.objects import objects_at
with Lease(objects_at(sys.argv[1]), heartbeat_s=0.1):
    print("held", flush=True)
    time.sleep(60)
"""
KEY = lease_key(None)
QUICK: dict[str, Any] = {"heartbeat_s": 0.05, "lease_s": 0.5}


@pytest.fixture(params=["folder", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "bucket":
        return objects_at(f"{request.getfixturevalue('bucket')}/run.zarr")
    (tmp_path / "run.zarr" / ".distbragg").mkdir(parents=True)
    return objects_at(tmp_path / "run.zarr")


@pytest.fixture
def holder(objects: Objects) -> Iterator[Started]:
    with loaded.start(["-c", HOLD, objects.url]) as process:
        process.wait_for("held\n")
        yield process
        process.kill()


def rewrite(objects: Objects, **changes: object) -> None:
    """Change what the lease says, as another machine would have written it."""
    body = {**json.loads(objects.get(KEY)), **changes}
    objects.put(KEY, json.dumps(body).encode())


def keys(objects: Objects) -> list[str]:
    names = {entry.key for entry in objects.entries(".distbragg/", deep=False)}
    return sorted(names - {".distbragg/lock.guard"})


def take(objects: Objects, **options: Any) -> None:
    with Lease(objects, **{**QUICK, **options}):
        pass


class Elsewhere:
    """Makes this process one of another machine, as far as leases tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self._real = monkeypatch, lease_module.this_machine

    def __enter__(self) -> None:
        self._patch.setattr(lease_module, "this_machine", lambda: "another boot/1/2")

    def __exit__(self, *_: object) -> None:
        self._patch.setattr(lease_module, "this_machine", self._real)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    return Elsewhere(monkeypatch)


def test_lease_is_given_back_at_the_end_of_its_block(objects: Objects) -> None:
    with Lease(objects):
        assert keys(objects) == [KEY]
        assert [(one.part, one.alive) for one in lease_holders(objects)] == [("", True)]
    assert keys(objects) == []
    with pytest.raises(ZeroDivisionError), Lease(objects):
        raise ZeroDivisionError
    assert keys(objects) == []


@pytest.mark.spec("STK-13")
def test_second_driver_is_refused_with_the_name_of_the_first(
    objects: Objects, holder: Started
) -> None:
    with pytest.raises(RefusedError, match=rf"in use by process {holder.pid}") as caught:
        take(objects)
    assert caught.value.exit_status is ExitStatus.REFUSED


@pytest.mark.spec("STK-13")
def test_lease_of_a_killed_process_is_taken_over_at_once(objects: Objects, holder: Started) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with Lease(objects):
        found = read_lease(objects, KEY)
        assert found is not None
        assert found.pid == os.getpid()


def test_lease_of_a_stopped_but_living_process_is_kept(objects: Objects, holder: Started) -> None:
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(RefusedError):
        take(objects)


def test_reused_process_number_holds_nothing(objects: Objects, holder: Started) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    rewrite(objects, pid=os.getppid(), started="17")
    take(objects)


@pytest.mark.spec("STK-13")
@pytest.mark.parametrize("name", ["here", "far-away"])
def test_machine_of_any_name_is_refused_while_the_heartbeat_goes_on(
    objects: Objects, elsewhere: Elsewhere, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(objects, heartbeat_s=0.05):
        if name == "far-away":
            monkeypatch.setattr(socket, "gethostname", lambda: name)
        with elsewhere, pytest.raises(RefusedError, match="in use by process"):
            take(objects)
    assert keys(objects) == []


@pytest.mark.spec("STK-13")
@pytest.mark.parametrize("changed", [0, -3 * 86_400, 3 * 86_400])
def test_dead_lease_of_another_machine_is_over_when_it_was_watched_whatever_clocks_say(
    objects: Objects, holder: Started, elsewhere: Elsewhere, changed: int
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    rewrite(objects, lease_s=0.4)
    if not isinstance(objects, BucketObjects):
        moment = time.time() + changed
        os.utime(Path(objects.url) / KEY, (moment, moment))
    with elsewhere:
        take(objects)
    assert keys(objects) == []


def test_lease_that_was_given_back_while_it_is_watched_is_free(
    objects: Objects, elsewhere: Elsewhere
) -> None:
    held = Lease(objects, heartbeat_s=1000.0)
    held.__enter__()
    timer = threading.Timer(0.2, held.__exit__, (None, None, None))
    timer.start()
    with elsewhere:
        take(objects, heartbeat_s=0.1)
    timer.join()
    assert keys(objects) == []


@pytest.mark.parametrize("content", [b"", b'{"host": "a', b"[" * 4000, b"[]", b"x" * 5000])
def test_torn_or_foreign_lease_is_taken_over(objects: Objects, content: bytes) -> None:
    objects.put(KEY, content)
    take(objects)
    assert keys(objects) == []


@pytest.mark.spec("STK-13")
@pytest.mark.parametrize(
    "changes",
    [{"pid": float("inf")}, {"lease_s": 10**400}, {"lease_s": float("nan")}, {"beat": [1]}],
)
def test_lease_of_impossible_numbers_is_none(objects: Objects, changes: dict[str, object]) -> None:
    with Lease(objects, heartbeat_s=30.0):
        rewrite(objects, **changes)
        assert lease_holders(objects) == ()
        take(objects)


@pytest.mark.spec("STK-13")
def test_store_that_keeps_the_lease_hides_no_error_of_the_work(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Objects, key: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system", key)

    def work() -> None:
        with Lease(objects):
            monkeypatch.setattr(type(objects), "delete", refuse)
            raise DamageError("said by the work")

    with pytest.raises(DamageError, match="said by the work"):
        work()


@pytest.mark.spec("STK-13")
def test_copy_of_a_run_at_work_is_not_in_use(
    tmp_path: Path, holder: Started, objects: Objects
) -> None:
    if isinstance(objects, BucketObjects):
        copy: Objects = BucketObjects(objects.url.replace("run.zarr", "copy.zarr"))
        copy.put(KEY, objects.get(KEY))
    else:
        shutil.copytree(objects.url, tmp_path / "copy.zarr")
        copy = objects_at(tmp_path / "copy.zarr")
    take(copy)
    with pytest.raises(RefusedError):
        take(objects)


@pytest.mark.spec("STK-13")
def test_run_that_was_moved_at_work_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "run.zarr" / ".distbragg").mkdir(parents=True)
    with Lease(objects_at(tmp_path / "run.zarr"), heartbeat_s=60.0):
        (tmp_path / "run.zarr").rename(tmp_path / "moved.zarr")
        with pytest.raises(RefusedError):
            take(objects_at(tmp_path / "moved.zarr"))
        (tmp_path / "moved.zarr").rename(tmp_path / "run.zarr")


@pytest.mark.spec("STK-13")
def test_heartbeat_outlives_a_lost_answer(objects: Objects, elsewhere: Elsewhere) -> None:
    with Lease(objects, heartbeat_s=0.05) as lease:
        rewrite(objects)
        first = objects.get(KEY)
        deadline = time.monotonic() + 30
        while objects.get(KEY) == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert objects.get(KEY) != first
        assert not lease.lost.is_set()
        with elsewhere, pytest.raises(RefusedError):
            take(objects)


@pytest.mark.spec("STK-13")
@pytest.mark.parametrize("how", ["taken over by process 7", "removed"])
def test_holder_is_stopped_with_one_line_when_its_lease_is_lost(objects: Objects, how: str) -> None:
    def work() -> None:
        with Lease(objects, heartbeat_s=0.05):
            if how == "removed":
                objects.delete(KEY)
            else:
                rewrite(objects, token="other", pid=7)
            time.sleep(30)

    with pytest.raises(RefusedError, match=how):
        work()
    assert keys(objects) == ([] if how == "removed" else [KEY])


def test_holder_that_can_not_renew_stops_before_others_take_over(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise EnvironmentFailure("no answer")

    def work() -> None:
        with Lease(objects, heartbeat_s=0.05, lease_s=0.6):
            monkeypatch.setattr(type(objects), "put", refuse)
            time.sleep(30)

    with pytest.raises(RefusedError, match="could not be renewed"):
        work()


def test_holder_in_another_thread_asks_for_itself(objects: Objects) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            with Lease(objects, heartbeat_s=0.05) as lease:
                objects.delete(KEY)
                assert lease.lost.wait(30)
                lease.check()
        except RefusedError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "removed" in str(caught[0])


def test_parts_of_one_division_run_side_by_side(objects: Objects) -> None:
    with Lease(objects, part=(1, 3)), Lease(objects, part=(2, 3)):
        assert [one.part for one in lease_holders(objects)] == ["1/3", "2/3"]


@pytest.mark.parametrize(
    ("first", "second"),
    [((1, 3), (1, 3)), ((1, 3), (1, 2)), ((1, 3), None), (None, (1, 3))],
)
def test_overlapping_parts_exclude_each_other(
    objects: Objects, first: tuple[int, int] | None, second: tuple[int, int] | None
) -> None:
    with Lease(objects, part=first), pytest.raises(RefusedError):
        take(objects, part=second)


@pytest.mark.spec("STK-13")
def test_of_many_that_come_at_once_at_most_one_gets_it(objects: Objects) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def attempt(part: tuple[int, int] | None) -> None:
        nonlocal inside, most
        try:
            with Lease(objects, part=part):
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.05)
                with lock:
                    inside -= 1
        except RefusedError:
            pass

    parts: list[tuple[int, int] | None] = [None, (1, 2), None, (1, 2), (1, 3), None]
    threads = [threading.Thread(target=attempt, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 1
    assert keys(objects) == []


@pytest.mark.spec("ENG-25")
@pytest.mark.parametrize("moment", ["written", "looked around"])
def test_an_interrupt_while_it_is_taken_leaves_no_lease(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    if moment == "written":
        kind, put = type(objects), type(objects).put

        def interrupted(self: Objects, key: str, data: bytes, **options: Any) -> str:
            put(self, key, data, **options)
            raise KeyboardInterrupt

        monkeypatch.setattr(kind, "put", interrupted)
    else:
        looks = iter([{}])

        def around(self: Lease) -> dict[str, str]:
            for found in looks:
                return found
            assert KEY in keys(objects)
            raise KeyboardInterrupt

        monkeypatch.setattr(Lease, "_in_the_way", around)
    with pytest.raises(KeyboardInterrupt):
        take(objects)
    monkeypatch.undo()
    assert keys(objects) == []
    take(objects)
