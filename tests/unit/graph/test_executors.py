"""The executor protocol: the same promises from the serial executor and from Dask."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from distbragg.errors import EnvironmentFailure
from distbragg.graph import dask_executor
from distbragg.graph.dask_executor import DaskExecutor
from distbragg.graph.executor import Executor, SerialExecutor, TaskSettings
from distbragg.graph.progress import Event, UnitFinished, UnitRetried

from .fake_work import BAD_SPEC, DIES_ONCE, FAKE, FULL_DISK, KILLS, RAISES, attempts_made

MakeExecutor = Callable[..., Executor]
FORMS = ("unit", "graph")


@pytest.fixture(params=["serial", pytest.param("dask", marks=pytest.mark.cluster)])
def make(request: pytest.FixtureRequest) -> MakeExecutor:
    if request.param == "serial":
        return lambda **options: SerialExecutor(work=FAKE, pickle_tasks=True, **options)
    opened = request.getfixturevalue("client")
    return lambda **options: DaskExecutor(opened, work=FAKE, **options)


@pytest.fixture
def run(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_every_unit_ends_once_with_its_receipt(make: MakeExecutor, run: str, form: Any):
    outcomes = list(make().run_units(run, range(9), form=form, window=3))
    assert sorted(outcome.unit for outcome in outcomes) == list(range(9))
    assert all(outcome.status == "done" for outcome in outcomes)
    assert all(outcome.receipt["unit"] == outcome.unit for outcome in outcomes)
    assert all(attempts_made(run, unit) == 1 for unit in range(9))


def test_both_executors_add_the_same_bits(client: Client, tmp_path: Path):
    def digests(executor: Executor) -> dict[int, str]:
        outcomes = executor.run_units(str(tmp_path), range(4), form="graph")
        return {outcome.unit: outcome.receipt["digest"] for outcome in outcomes}

    serial = digests(SerialExecutor(work=FAKE))
    assert digests(SerialExecutor(work=FAKE, pickle_tasks=True)) == serial
    assert digests(DaskExecutor(client, work=FAKE)) == serial


@pytest.mark.parametrize("form", FORMS)
def test_raising_unit_is_set_aside_and_the_rest_completes(make: MakeExecutor, run: str, form: Any):
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
    assert sum(isinstance(event, UnitFinished) for event in events) == 3


def test_bad_input_is_not_tried_again(make: MakeExecutor, run: str):
    (outcome,) = make().run_units(run, [BAD_SPEC], attempts=3)
    assert (outcome.status, outcome.attempts) == ("failed", 1)
    assert "crystal.sell" in outcome.reason
    assert attempts_made(run, BAD_SPEC) == 1


def test_full_disk_ends_the_run(make: MakeExecutor, run: str):
    with pytest.raises(EnvironmentFailure, match="no space left"):
        list(make().run_units(run, [0, FULL_DISK, 1, 2], window=1))


def test_units_are_taken_as_room_arises(make: MakeExecutor, run: str):
    taken = itertools.count()

    def units() -> Iterator[int]:
        while True:
            yield next(taken)

    outcomes = make().run_units(run, units(), window=2)
    first = [next(outcomes) for _ in range(5)]
    assert len({outcome.unit for outcome in first}) == 5
    assert next(taken) <= 5 + 2 * 2
    outcomes.close()


def test_settings_reach_the_task(make: MakeExecutor, run: str):
    (outcome,) = make(settings=TaskSettings(threads=3)).run_units(run, [0])
    assert outcome.receipt["threads"] == 3


def test_a_second_run_of_the_same_units_meets_no_old_result(make: MakeExecutor, run: str):
    for _ in range(2):
        (outcome,) = make().run_units(run, [RAISES], attempts=1)
        assert outcome.status == "failed"
    (outcome,) = make().run_units(run, [3])
    assert outcome.status == "done"


@pytest.mark.cluster
def test_unit_whose_worker_died_is_tried_again(client: Client, run: str):
    executor = DaskExecutor(client, work=FAKE)
    outcomes = {o.unit: o for o in executor.run_units(run, [0, DIES_ONCE, 1, 2, 3])}
    assert all(outcome.status == "done" for outcome in outcomes.values())
    assert outcomes[DIES_ONCE].attempts == 2


@pytest.mark.spec("ENG-19")
@pytest.mark.cluster
def test_unit_that_kills_workers_is_set_aside_and_none_is_blamed_for_it(client: Client, run: str):
    executor = DaskExecutor(client, work=FAKE)
    units = [0, 1, KILLS, 2, 3, 4, 5]
    outcomes = {o.unit: o for o in executor.run_units(run, units, attempts=3)}
    failed = [unit for unit, outcome in outcomes.items() if outcome.status == "failed"]
    assert failed == [KILLS]
    assert outcomes[KILLS].attempts == 3
    assert "worker died" in outcomes[KILLS].reason
    assert set(outcomes) == set(units)


@pytest.mark.cluster
def test_keys_name_run_unit_and_attempt(client: Client, run: str):
    executor = DaskExecutor(client, work=FAKE)
    list(executor.run_units(run, [7], form="graph"))
    list(executor.run_units(run, [8], form="unit"))
    keys = client.run_on_scheduler(
        lambda dask_scheduler: sorted(prefix for prefix in dask_scheduler.task_prefixes)
    )
    assert {"render-unit", "render-tile", "merge-partials", "write-unit"} <= set(keys)


@pytest.mark.cluster
def test_nothing_stays_on_the_scheduler(client: Client, run: str):
    list(DaskExecutor(client, work=FAKE).run_units(run, range(20), form="graph", window=4))
    for _ in range(50):
        left = client.run_on_scheduler(_task_names)
        if not left:
            break
        time.sleep(0.1)
    assert left == []


@pytest.mark.cluster
def test_interrupt_cancels_what_is_in_flight(client: Client, run: str):
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
    client: Client, run: str, monkeypatch: pytest.MonkeyPatch
):
    failed = answer_first_fetch(monkeypatch, _nothing)
    outcomes = list(DaskExecutor(client, work=FAKE).run_units(run, range(7)))
    assert sorted(outcome.unit for outcome in outcomes) == list(range(7))
    assert all(outcome.status == "done" and outcome.attempts == 1 for outcome in outcomes)
    assert len(failed) == 1


@pytest.mark.cluster
def test_a_fetch_that_takes_too_long_is_given_up_and_repeated(
    client: Client, run: str, monkeypatch: pytest.MonkeyPatch
):
    slow = answer_first_fetch(monkeypatch, lambda futures: asyncio.sleep(60))
    monkeypatch.setattr(dask_executor, "FETCH_S", 0.2)
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
