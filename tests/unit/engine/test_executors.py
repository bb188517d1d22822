"""The executor protocol: the same promises from the serial executor and from Dask."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from distbragg.engine import dask_tasks
from distbragg.engine.context import RunContext
from distbragg.engine.dask_executor import DaskExecutor
from distbragg.engine.events import Event, UnitRetried
from distbragg.engine.executor import Executor, SerialExecutor, time_limit
from distbragg.engine.work import TaskSettings
from distbragg.errors import EnvironmentFailure, RefusedError
from tests.workers import wait_for_workers

from .fake_work import (
    BAD_SPEC,
    DIES_ONCE,
    FAKE,
    FULL_DISK,
    HANGS_ONCE,
    KILLS,
    RAISES,
    PicklingExecutor,
    attempts_made,
    context_of,
)

MakeExecutor = Callable[..., Executor]
FORMS = ("unit", "graph")


@pytest.fixture(params=["serial", pytest.param("dask", marks=pytest.mark.cluster)])
def make(request: pytest.FixtureRequest) -> MakeExecutor:
    if request.param == "serial":
        return lambda **options: PicklingExecutor(work=FAKE, **options)
    opened = request.getfixturevalue("client")
    return lambda **options: DaskExecutor(opened, work=FAKE, **options)


@pytest.fixture
def run(tmp_path: Path) -> RunContext:
    return context_of(tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_every_unit_ends_once_with_its_receipt(make: MakeExecutor, run: RunContext, form: Any):
    outcomes = list(make().run_units(run, range(9), form=form, window=3))
    assert sorted(outcome.unit for outcome in outcomes) == list(range(9))
    assert all(outcome.status == "done" for outcome in outcomes)
    assert all(outcome.receipt["unit"] == outcome.unit for outcome in outcomes)
    assert all(attempts_made(run, unit) == 1 for unit in range(9))


def test_both_executors_add_the_same_bits(client: Client, tmp_path: Path):
    def digests(executor: Executor) -> dict[int, str]:
        outcomes = executor.run_units(context_of(tmp_path), range(4), form="graph")
        return {outcome.unit: outcome.receipt["digest"] for outcome in outcomes}

    serial = digests(SerialExecutor(work=FAKE))
    assert digests(PicklingExecutor(work=FAKE)) == serial
    assert digests(DaskExecutor(client, work=FAKE)) == serial


@pytest.mark.parametrize("form", FORMS)
def test_raising_unit_is_set_aside_and_the_rest_completes(
    make: MakeExecutor, run: RunContext, form: Any
):
    events: list[Event] = []
    executor = make(on_event=events.append)
    outcomes = {o.unit: o for o in executor.run_units(run, [0, RAISES, 1], form=form, attempts=2)}
    assert outcomes[RAISES].status == "failed"
    assert outcomes[RAISES].attempts == 2
    assert outcomes[RAISES].reason == "ValueError: this unit always raises"
    assert outcomes[0].status == outcomes[1].status == "done"
    assert attempts_made(run, RAISES) == 2
    assert [event for event in events if isinstance(event, UnitRetried)] == [
        UnitRetried(RAISES, 1, "ValueError: this unit always raises")
    ]


def test_bad_input_is_tried_by_each_of_two_workers_at_most(make: MakeExecutor, run: RunContext):
    executor = make()
    (outcome,) = executor.run_units(run, [BAD_SPEC], attempts=3)
    tries = 1 if isinstance(executor, SerialExecutor) else 2
    assert (outcome.status, outcome.attempts) == ("failed", tries)
    assert "crystal.sell" in outcome.reason
    assert attempts_made(run, BAD_SPEC) == tries


def test_full_disk_ends_the_run(make: MakeExecutor, run: RunContext):
    with pytest.raises(EnvironmentFailure, match="no space left"):
        list(make().run_units(run, [0, FULL_DISK, 1, 2], window=1))


def test_units_are_taken_as_room_arises(make: MakeExecutor, run: RunContext):
    taken = itertools.count()

    def units() -> Iterator[int]:
        while True:
            yield next(taken)

    outcomes = make().run_units(run, units(), window=2)
    first = [next(outcomes) for _ in range(5)]
    assert len({outcome.unit for outcome in first}) == 5
    assert next(taken) <= 5 + 2 * 2
    outcomes.close()


def test_settings_reach_the_task(make: MakeExecutor, run: RunContext):
    (outcome,) = make(settings=TaskSettings(threads=3)).run_units(run, [0])
    assert outcome.receipt["threads"] == 3


def test_a_second_run_of_the_same_units_meets_no_old_result(make: MakeExecutor, run: RunContext):
    for _ in range(2):
        (outcome,) = make().run_units(run, [RAISES], attempts=1)
        assert outcome.status == "failed"
    (outcome,) = make().run_units(run, [3])
    assert outcome.status == "done"


@pytest.mark.cluster
def test_unit_whose_worker_died_is_tried_again(client: Client, run: RunContext):
    executor = DaskExecutor(client, work=FAKE)
    outcomes = {o.unit: o for o in executor.run_units(run, [0, DIES_ONCE, 1, 2, 3])}
    assert all(outcome.status == "done" for outcome in outcomes.values())
    assert outcomes[DIES_ONCE].attempts == 2


@pytest.mark.spec("ENG-19")
@pytest.mark.cluster
def test_unit_that_kills_workers_is_set_aside_and_none_is_blamed_for_it(
    client: Client, run: RunContext
):
    executor = DaskExecutor(client, work=FAKE)
    units = [0, 1, KILLS, 2, 3, 4, 5]
    outcomes = {o.unit: o for o in executor.run_units(run, units, attempts=3)}
    failed = [unit for unit, outcome in outcomes.items() if outcome.status == "failed"]
    assert failed == [KILLS]
    assert outcomes[KILLS].attempts == 3
    assert "worker died" in outcomes[KILLS].reason
    assert set(outcomes) == set(units)


@pytest.mark.cluster
def test_keys_name_run_unit_and_attempt(client: Client, run: RunContext):
    executor = DaskExecutor(client, work=FAKE)
    list(executor.run_units(run, [7], form="graph"))
    list(executor.run_units(run, [8], form="unit"))
    keys = client.run_on_scheduler(
        lambda dask_scheduler: sorted(prefix for prefix in dask_scheduler.task_prefixes)
    )
    assert {"render-unit", "render-tile", "merge-partials", "write-unit"} <= set(keys)


@pytest.mark.cluster
def test_nothing_stays_on_the_scheduler(client: Client, run: RunContext):
    list(DaskExecutor(client, work=FAKE).run_units(run, range(20), form="graph", window=4))
    for _ in range(50):
        left = client.run_on_scheduler(_task_names)
        if not left:
            break
        time.sleep(0.1)
    assert left == []


@pytest.mark.cluster
def test_interrupt_cancels_what_is_in_flight(client: Client, run: RunContext):
    outcomes = DaskExecutor(client, work=FAKE).run_units(run, range(100), window=4)
    next(outcomes)
    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt())
    finished = {outcome.unit for outcome in DaskExecutor(client, work=FAKE).run_units(run, [1, 2])}
    assert finished == {1, 2}


def _task_names(dask_scheduler: Any) -> list[str]:
    return sorted(map(str, dask_scheduler.tasks))


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_a_receipt_that_cannot_be_fetched_is_fetched_later(
    client: Client, run: RunContext, monkeypatch: pytest.MonkeyPatch
):
    failed = answer_first_fetch(monkeypatch, _nothing)
    outcomes = list(DaskExecutor(client, work=FAKE).run_units(run, range(7)))
    assert sorted(outcome.unit for outcome in outcomes) == list(range(7))
    assert all(outcome.status == "done" and outcome.attempts == 1 for outcome in outcomes)
    assert len(failed) == 1


@pytest.mark.cluster
def test_a_fetch_that_takes_too_long_is_given_up_and_repeated(
    client: Client, run: RunContext, monkeypatch: pytest.MonkeyPatch
):
    slow = answer_first_fetch(monkeypatch, lambda futures: asyncio.sleep(60))
    monkeypatch.setattr(dask_tasks, "FETCH_S", 0.2)
    outcomes = list(DaskExecutor(client, work=FAKE).run_units(run, range(5)))
    assert sorted(outcome.unit for outcome in outcomes) == list(range(5))
    assert len(slow) == 1


def answer_first_fetch(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any]) -> list[Any]:
    """Let `answer` stand for the first fetch of receipts; return what it was asked for."""
    fetch, asked = Client.gather, []

    def gather(self: Client, futures: Any, **options: Any) -> Any:
        if not asked:
            asked.append(dict(futures))
            return answer(futures)
        return fetch(self, futures, **options)

    monkeypatch.setattr(Client, "gather", gather)
    return asked


async def _nothing(futures: dict[str, Any]) -> dict[str, Any]:
    """Answer as Dask does where a worker died with all of these results."""
    return dict.fromkeys(futures)


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_an_error_of_the_listener_is_the_listeners(client: Client, run: RunContext):
    def listen(event: Event) -> None:
        raise TimeoutError("my database did not answer")

    executor = DaskExecutor(client, work=FAKE, on_event=listen)
    with pytest.raises(TimeoutError, match="my database did not answer"):
        list(executor.run_units(run, [0, RAISES]))


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_a_unit_whose_outcome_is_never_delivered_runs_again(
    client: Client, run: RunContext, monkeypatch: pytest.MonkeyPatch
):
    lost: list[str] = []
    gather = Client.gather

    async def without(self: Client, futures: dict[str, Any]) -> dict[str, Any]:
        found = await gather(self, futures, errors="skip", asynchronous=True)
        lost.extend(key for key in found if "-u2-" in key or key.endswith("-u2"))
        return {
            key: value for key, value in found.items() if "u2-a0" not in f"{key}-" or "r1" in key
        }

    monkeypatch.setattr(Client, "gather", lambda self, futures, **_: without(self, futures))
    monkeypatch.setattr("distbragg.engine.policy.SILENCE_S", 0.3)
    events: list[Event] = []
    outcomes = list(
        DaskExecutor(client, work=FAKE, on_event=events.append).run_units(run, range(5))
    )
    assert sorted(outcome.unit for outcome in outcomes) == list(range(5))
    assert all(outcome.status == "done" for outcome in outcomes)
    assert UnitRetried(2, 0, "the cluster lost track of it") in events
    assert attempts_made(run, 2) == 1


@pytest.mark.spec("ENG-19")
@pytest.mark.cluster
def test_a_worker_that_hangs_is_restarted_and_its_unit_done_elsewhere(
    client: Client, run: RunContext
):
    before = {*client.nthreads()}
    settings = TaskSettings(time_limit_s=1.0)
    executor = DaskExecutor(client, settings=settings, work=FAKE)
    outcomes = {o.unit: o for o in executor.run_units(run, [0, HANGS_ONCE, 1, 2])}
    assert all(outcome.status == "done" for outcome in outcomes.values())
    assert outcomes[HANGS_ONCE].attempts == 2
    wait_for_workers(client, len(before), other_than=before)


@pytest.mark.spec("ENG-19")
@pytest.mark.cluster
def test_a_worker_that_hangs_in_this_process_ends_the_run_not_the_process(run: RunContext):
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        executor = DaskExecutor(client, settings=TaskSettings(time_limit_s=0.5), work=FAKE)
        outcomes = executor.run_units(run, [HANGS_ONCE, 0], attempts=1)
        first = next(outcomes)
        assert (first.status, first.unit) == ("failed", HANGS_ONCE)
        assert "limit of 0.5 s" in first.reason
        with pytest.raises(EnvironmentFailure, match="no nanny that could restart"):
            next(outcomes)
        (Path(run.url) / "go-on").touch()


@pytest.mark.spec("ENG-24")
@pytest.mark.cluster
def test_a_worker_that_cannot_load_the_package_gets_nothing(client: Client, run: RunContext):
    bad = next(iter(client.nthreads()))
    client.run(_forget_the_package, workers=[bad])
    try:
        events: list[Event] = []
        executor = DaskExecutor(client, work=FAKE, on_event=events.append)
        outcomes = list(executor.run_units(run, range(8)))
        assert all(outcome.status == "done" for outcome in outcomes)
        (left_out,) = executor.left_out
        assert left_out.worker == bad
        assert "cannot load distbragg" in left_out.reason
        assert left_out in events
    finally:
        client.restart_workers([bad])


@pytest.mark.spec("ENG-24")
@pytest.mark.cluster
def test_where_no_worker_can_load_the_package_the_run_is_refused_in_one_line(
    client: Client, run: RunContext
):
    client.run(_forget_the_package)
    try:
        with pytest.raises(RefusedError, match="no worker can render this run"):
            list(DaskExecutor(client, work=FAKE).run_units(run, range(8)))
        assert attempts_made(run, 0) == 0
    finally:
        client.restart()


def _forget_the_package() -> None:
    """Make this process behave as one without distbragg."""
    import builtins
    import sys

    load = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "distbragg":
            raise ModuleNotFoundError("No module named 'distbragg'", name="distbragg")
        return load(name, *arguments, **options)

    for name in [each for each in sys.modules if each.partition(".")[0] == "distbragg"]:
        del sys.modules[name]
    builtins.__import__ = refuse


def test_a_unit_that_never_ends_is_set_aside_in_this_process_too(run: RunContext):
    settings = TaskSettings(time_limit_s=0.2)
    executor = SerialExecutor(settings=settings, work=FAKE)
    outcomes = {o.unit: o for o in executor.run_units(run, [0, HANGS_ONCE, 1], attempts=1)}
    assert {unit: o.status for unit, o in outcomes.items()} == {
        0: "done",
        HANGS_ONCE: "failed",
        1: "done",
    }
    assert outcomes[HANGS_ONCE].reason == "TimeoutError: took longer than the limit of 0.2 s"


def test_handler_and_timer_of_others_are_put_back():
    rang: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: rang.append(number))
    outer = signal.setitimer(signal.ITIMER_REAL, 60.0)
    try:
        with time_limit(5.0):
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 5.0
        assert 50.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60.0
        signal.raise_signal(signal.SIGALRM)
        assert rang == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *outer)


def test_no_limit_leaves_the_timer_alone():
    before = signal.getitimer(signal.ITIMER_REAL)[0]
    with time_limit(0.0):
        assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(before, abs=60.0)
