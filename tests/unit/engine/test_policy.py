"""What is tried next, where, how often, and who is to blame: decided without any cluster."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from distbragg.engine.attempt import Attempt, Worker
from distbragg.engine.events import UnitRetried, WorkerLeftOut
from distbragg.engine.policy import (
    AHEAD,
    GUILTY,
    MIN_UNITS,
    PER_THREAD,
    RESTART_PAUSE_S,
    SILENCE_S,
    Policy,
)
from distbragg.engine.work import UnitOutcome
from distbragg.errors import DamageError, EnvironmentFailure, InputError, RefusedError

NEVER = float("inf")
Behaviour = Callable[[int], "Exception | str | None"]
"""How a worker ends a unit: None is success, "dies" a death, "hangs" never."""


def good(unit: int) -> None:
    return None


def raises(unit: int) -> Exception:
    return OSError(28, "No space left on device")


def full(unit: int) -> Exception:
    return EnvironmentFailure("no space left")


def other_class(unit: int) -> Exception:
    return RefusedError("another numeric class")


def not_installed(unit: int) -> Exception:
    return ModuleNotFoundError("No module named 'distbragg'")


def dies(unit: int) -> str:
    return "dies"


@dataclass
class Cluster:
    """Workers of one thread that take units as a scheduler without a queue hands them out."""

    behaviour: dict[str, Behaviour]
    seconds: Callable[[str], float] = lambda name: 1.0
    outcomes: dict[int, UnitOutcome] = field(default_factory=dict)
    events: list[object] = field(default_factory=list)
    tries: dict[int, list[str]] = field(default_factory=dict)
    now: float = 0.0

    def run(self, units: Iterable[int], **options: object) -> Policy:
        """Run units to their end."""
        policy = Policy(units, **options)  # type: ignore[arg-type]
        # A worker has another address after each restart by its nanny, and the same name.
        address = {name: f"{name}-0" for name in self.behaviour}
        self._meet(policy, address)
        queues: dict[str, list[Attempt]] = {name: [] for name in address}
        ends: list[tuple[float, int, str]] = []
        count = itertools.count()

        def begin(name: str) -> None:
            heapq.heappush(ends, (self.now + self.seconds(name), next(count), name))

        for _ in range(100_000):
            while (item := policy.next(self.now)) is not None:
                policy.cut(item, [f"u{item.unit}-{item.number}-{item.again}"])
                allowed = [n for n, at in address.items() if item.where is None or at in item.where]
                name = min(allowed, key=lambda each: len(queues[each]))
                queues[name].append(item)
                if len(queues[name]) == 1:
                    begin(name)
            if not ends:
                if not policy.waiting:
                    return policy
                self.now += RESTART_PAUSE_S
                continue
            self.now, _, name = heapq.heappop(ends)
            self._end(policy, name, queues, address)
            self.events += policy.take_events()
            if queues[name]:
                begin(name)
        raise AssertionError("the policy never comes to an end")

    def _end(
        self,
        policy: Policy,
        name: str,
        queues: dict[str, list[Attempt]],
        address: dict[str, str],
    ) -> None:
        item = queues[name].pop(0)
        self.tries.setdefault(item.unit, []).append(name)
        ended = self.behaviour[name](item.unit)
        at = address[name]
        if ended is None:
            found: list[UnitOutcome | None] = [policy.succeeded(item, at, {})]
        elif isinstance(ended, Exception):
            found = [policy.failed(item, ended, at, self.now)]
        else:
            # Dask tells of a death for everything that waited on the worker.
            address[name] = f"{name}-{int(at.partition('-')[2]) + 1}"
            lost, queues[name] = [item, *queues[name]], []
            self._meet(policy, address, lost)
            found = policy.died(lost, at, self.now)
        for outcome in found:
            if outcome is not None:
                assert outcome.unit not in self.outcomes
                self.outcomes[outcome.unit] = outcome

    def _meet(self, policy: Policy, address: dict[str, str], lost: Iterable[Attempt] = ()) -> None:
        workers = {at: Worker(1, name, "host") for name, at in address.items()}
        for item in set(policy.meet(workers)) - set(lost):
            raise AssertionError(f"unit {item.unit} was bound to one worker that was restarted")

    def left_out(self) -> dict[str, str]:
        return {e.worker: e.reason for e in self.events if isinstance(e, WorkerLeftOut)}

    def failed(self) -> list[int]:
        return sorted(u for u, outcome in self.outcomes.items() if outcome.status == "failed")


@pytest.mark.spec("ENG-24")
@pytest.mark.parametrize("bad", [raises, full, other_class, not_installed])
@pytest.mark.parametrize("speed", [0.001, 1.0, 30.0])
def test_one_bad_worker_of_four_costs_no_unit_and_is_left_out(bad: Behaviour, speed: float):
    cluster = Cluster(
        {"a": good, "b": good, "c": good, "bad": bad},
        seconds=lambda name: speed if name == "bad" else 1.0,
    )
    cluster.run(range(200))
    assert sorted(cluster.outcomes) == list(range(200))
    assert cluster.failed() == []
    assert list(cluster.left_out()) == ["bad-0"]
    # However fast it fails, it gets few units: no more than wait there when it begins to.
    assert sum(tries.count("bad") for tries in cluster.tries.values()) <= AHEAD / 4


def test_a_worker_whose_every_unit_kills_it_is_left_out():
    cluster = Cluster({"a": good, "b": good, "bad": dies})
    cluster.run(range(60), window=6)
    assert cluster.failed() == []
    (reason,) = cluster.left_out().values()
    assert reason.startswith("fails at units that others finish (KilledWorker")


def test_half_of_the_workers_may_be_bad():
    bad = {f"bad{i}": raises for i in range(3)}
    cluster = Cluster({"a": good, "b": good, "c": good, **bad}, seconds=lambda name: 1.0)
    cluster.run(range(300), attempts=4)
    assert cluster.failed() == []
    assert {name.partition("-")[0] for name in cluster.left_out()} == set(bad)


@pytest.mark.spec("ENG-24")
def test_a_unit_that_raises_everywhere_blames_no_worker():
    def some(unit: int) -> Exception | None:
        return ValueError("bad luck") if unit % 3 == 0 else None

    cluster = Cluster(dict.fromkeys("abcd", some))
    cluster.run(range(60))
    assert cluster.failed() == list(range(0, 60, 3))
    assert cluster.left_out() == {}
    for unit in range(0, 60, 3):
        assert cluster.outcomes[unit].attempts == 3
        assert len(set(cluster.tries[unit])) == 3  # each by another worker


def test_a_unit_that_kills_workers_is_set_aside_and_none_is_blamed_for_it():
    def one(unit: int) -> str | None:
        return "dies" if unit == 7 else None

    cluster = Cluster(dict.fromkeys("abcd", one))
    cluster.run(range(40), window=8)
    assert cluster.failed() == [7]
    assert cluster.outcomes[7].attempts == 3
    assert "the worker died" in cluster.outcomes[7].reason
    assert cluster.left_out() == {}


def test_a_worker_that_fails_now_and_then_stays():
    count = itertools.count()

    def flaky(unit: int) -> Exception | None:
        return OSError("network") if next(count) % 3 == 0 else None

    cluster = Cluster({"a": good, "b": good, "flaky": flaky})
    cluster.run(range(300))
    assert cluster.failed() == []
    assert cluster.left_out() == {}


@pytest.mark.spec("ENG-19")
def test_bad_input_needs_a_second_opinion_and_no_third():
    def wrong(unit: int) -> Exception | None:
        return InputError("no such field") if unit == 3 else None

    cluster = Cluster(dict.fromkeys("abc", wrong))
    cluster.run(range(9))
    assert cluster.failed() == [3]
    assert cluster.outcomes[3].attempts == 2
    assert len(set(cluster.tries[3])) == 2


def test_bad_input_that_one_worker_alone_sees_is_that_workers_fault():
    def wrong(unit: int) -> Exception:
        return InputError("a file is missing here")

    cluster = Cluster({"a": good, "b": good, "bad": wrong})
    cluster.run(range(40))
    assert cluster.failed() == []
    assert list(cluster.left_out()) == ["bad-0"]


@pytest.mark.parametrize("error", [full, other_class])
def test_what_every_worker_says_ends_the_run(error: Behaviour):
    cluster = Cluster(dict.fromkeys("abc", error))
    with pytest.raises((EnvironmentFailure, RefusedError)):
        cluster.run(range(40))


def test_where_none_can_load_the_package_the_run_ends_in_one_line():
    with pytest.raises(EnvironmentFailure, match="No module named 'distbragg'"):
        Cluster(dict.fromkeys("ab", not_installed)).run(range(4))


def test_a_full_disk_that_all_share_ends_the_run_after_three_workers():
    cluster = Cluster({f"w{i}": full for i in range(50)})
    with pytest.raises(EnvironmentFailure):
        cluster.run([0])
    assert len(cluster.tries[0]) == 3


def test_damage_met_by_every_worker_ends_the_run():
    def damaged(unit: int) -> Exception | None:
        return DamageError("the ledger contradicts itself") if unit == 5 else None

    with pytest.raises(DamageError):
        Cluster(dict.fromkeys("abcdef", damaged)).run(range(20))


def test_the_last_worker_is_never_left_out_for_what_it_fails_at():
    policy = Policy(range(9))
    policy.meet({"a": Worker(1, "a"), "b": Worker(1, "b")})
    policy.leave_out("b", "reason")
    failed = 0
    while (item := policy.next(0.0)) is not None:
        failed += policy.failed(item, ValueError("x"), "a", 0.0) is not None
    assert failed == 9
    assert policy.usable == ["a"]


def test_suspects_fly_one_at_a_time_and_alone_for_the_last_try():
    policy = Policy(range(4), window=4)
    policy.meet({name: Worker(1, name) for name in "abcd"})
    items = [launched(policy) for _ in range(4)]
    assert policy.died(items[:2], "a", now=0.0) == [None, None]
    assert [item.number for item in items[:2]] == [1, 0]  # the other one only waited there
    assert policy.next(0.0) is None  # its nanny is starting it
    first = policy.next(RESTART_PAUSE_S)
    assert first is items[0]
    assert policy.next(RESTART_PAUSE_S) is None  # the other waits
    assert policy.died([first], "b", now=3.0) == [None]
    second = policy.next(RESTART_PAUSE_S)
    assert second is items[1]
    policy.succeeded(second, "c", {})
    assert policy.next(99.0) is None  # its last try, and others fly
    for item in items[2:]:
        policy.succeeded(item, "d", {})
    assert policy.next(99.0) is items[0]
    (outcome,) = policy.died([items[0]], "c", now=99.0)
    assert outcome is not None
    assert (outcome.status, outcome.attempts) == ("failed", 3)


def test_a_death_for_another_units_sake_is_no_try():
    policy = Policy(range(1))
    policy.meet({"a": Worker(1, "a")})
    item = launched(policy)
    assert policy.died([item], "a", now=0.0, innocent=True) == [None]
    assert (item.number, item.deaths, item.again) == (0, 0, 1)
    assert policy.next(0.0) is item


@pytest.mark.spec("ENG-19")
def test_a_death_is_a_try_of_what_the_worker_was_at_and_of_nothing_that_waited_there():
    policy = Policy(range(3), window=3)
    policy.meet({name: Worker(1, name) for name in "ab"})
    items = flying(policy, 3)
    # The last one came first: the scheduler heard that the worker was at it.
    assert policy.died(items, "a", now=0.0, executing={"u2", "done before"}) == [None] * 3
    assert [item.number for item in items] == [0, 0, 1]
    assert [item.again for item in items] == [1, 1, 0]
    for item in items:  # whatever was there is suspected, and goes elsewhere
        again = policy.next(RESTART_PAUSE_S)
        assert again is item
        assert again.where == {"b"}
        policy.succeeded(again, "b", {})


@pytest.mark.spec("ENG-19")
def test_a_death_is_a_try_of_as_many_units_as_the_worker_has_threads():
    policy = Policy(range(6), window=6)
    policy.meet({"a": Worker(2, "a")})
    items = flying(policy, 6)
    policy.died(items, "a", now=0.0, executing={"u4"})
    assert [item.number for item in items] == [1, 0, 0, 0, 1, 0]


def test_a_suspect_is_taken_to_have_begun_unless_another_is_known_to_have():
    policy = Policy(range(4), window=3)
    policy.meet({name: Worker(1, name) for name in "abc"})
    items = flying(policy, 3)
    policy.died([items[2]], "a", now=0.0)
    suspect = policy.next(RESTART_PAUSE_S)
    assert suspect is items[2]
    policy.cut(suspect, ["u2 again"])
    assert policy.died([items[0], suspect], "b", now=3.0) == [None, None]
    assert (items[0].number, suspect.number) == (0, 2)
    policy.succeeded(items[1], "c", {})
    assert policy.next(9.0) is items[0]
    policy.cut(items[0], ["u0 again"])
    fresh = policy.next(9.0)
    assert fresh is not None
    policy.cut(fresh, ["u3"])
    assert policy.died([items[0], fresh], "c", now=9.0, executing={"u3"}) == [None, None]
    assert (items[0].number, fresh.number) == (0, 1)


@pytest.mark.spec("ENG-19")
@pytest.mark.parametrize("error", [ValueError("x"), InputError("no such field")])
def test_a_last_try_that_flew_beside_others_is_not_set_aside_for_a_death(error: Exception):
    policy = Policy(range(2), window=2, attempts=2)
    policy.meet({name: Worker(1, name) for name in "abc"})
    item, other = flying(policy, 2)
    assert policy.failed(item, error, "a", now=0.0) is None
    assert launched(policy) is item
    assert policy.died([item], "b", now=0.0) == [None]
    assert (item.number, item.deaths) == (1, 1)
    assert policy.next(RESTART_PAUSE_S) is None  # it flies alone now
    policy.succeeded(other, "c", {})
    assert policy.next(RESTART_PAUSE_S) is item
    (outcome,) = policy.died([item], "c", now=3.0)
    assert outcome is not None
    assert (outcome.status, outcome.attempts) == ("failed", 2)


@pytest.mark.spec("ENG-19")
def test_a_unit_is_spared_as_often_as_it_has_tries_and_no_more():
    policy = Policy(itertools.count(), window=2)
    policy.meet({name: Worker(1, name) for name in "abcdefgh"})
    first, item = flying(policy, 2)
    policy.died([first, item], "a", now=0.0)
    policy.succeeded(first if policy.next(9.0) is first else item, "b", {})
    for place in "bcd":  # always it waits, and something else is known to have been begun
        assert policy.next(99.0) is item
        policy.cut(item, ["it"])
        fresh = policy.next(99.0)
        assert fresh is not None
        policy.cut(fresh, [f"u{fresh.unit}"])
        assert policy.died([fresh, item], place, now=9.0, executing=fresh.keys) == [None, None]
        assert policy.next(99.0) is fresh
        policy.succeeded(fresh, "h", {})
    assert (item.number, item.deaths) == (1, 4)


def test_a_try_goes_to_workers_that_have_not_failed_at_it():
    policy = Policy(range(1))
    policy.meet({name: Worker(1, name) for name in "abc"})
    item = launched(policy)
    assert item.where is None
    policy.failed(item, ValueError("x"), "a", 0.0)
    assert launched(policy).where == {"b", "c"}
    policy.failed(item, ValueError("x"), "b", 0.0)
    assert launched(policy).where == {"c"}


def test_a_worker_under_suspicion_gets_nothing_until_others_have_tried():
    policy = Policy(range(20), window=20)
    policy.meet({name: Worker(1, name) for name in "abc"})
    items = [launched(policy) for _ in range(GUILTY)]
    for item in items:
        policy.failed(item, ValueError("x"), "a", 0.0)
    again = [launched(policy) for _ in range(GUILTY)]
    assert launched(policy).where == {"b", "c"}
    for item in again:  # they fail elsewhere too: it was not the worker
        policy.failed(item, ValueError("x"), "b", 0.0)
    for item in [launched(policy) for _ in range(GUILTY)]:
        assert item.where == {"c"}
    assert launched(policy).where is None


def test_what_was_bound_to_workers_that_are_gone_is_told():
    policy = Policy(range(2))
    policy.meet({name: Worker(1, name) for name in "ab"})
    item = launched(policy)
    policy.failed(item, ValueError("x"), "a", 0.0)
    again = launched(policy)
    assert again.where == {"b"}
    assert policy.meet({"a": Worker(1, "a"), "c": Worker(1, "c")}) == [again]
    policy.resubmit(again, "its workers are gone")
    assert launched(policy).where == {"c"}
    assert (again.number, again.again) == (1, 1)


def test_retries_are_told_with_their_number_and_reason():
    policy = Policy(range(1))
    policy.meet({"a": Worker(1, "a")})
    policy.failed(launched(policy), ValueError("x\ny"), "a", 0.0)
    assert policy.take_events() == [UnitRetried(0, 1, "ValueError: x y")]
    assert policy.take_events() == []


# -- the window ------------------------------------------------------------------------------


def in_flight(policy: Policy) -> int:
    return sum(1 for _ in iter(lambda: policy.next(0.0), None))


@pytest.mark.spec("ENG-10")
@pytest.mark.parametrize(("threads", "wanted"), [(0, AHEAD), (2, AHEAD), (1000, 1000 * PER_THREAD)])
def test_a_cluster_that_grows_with_its_tasks_sees_what_it_is_to_grow_for(threads: int, wanted: int):
    policy = Policy(itertools.count())
    policy.meet({str(i): Worker(1, str(i)) for i in range(threads)})
    assert in_flight(policy) == wanted


def test_a_fixed_window_stays_as_it_is():
    policy = Policy(itertools.count(), window=3)
    policy.meet({"a": Worker(16, "a")})
    assert in_flight(policy) == 3


def test_tasks_that_the_scheduler_hands_out_at_once_are_few():
    policy = Policy(itertools.count(), pinned=True)
    policy.meet({"a": Worker(3, "a")})
    assert in_flight(policy) == 3 * PER_THREAD
    nobody = Policy(itertools.count(), pinned=True)
    assert in_flight(nobody) == MIN_UNITS


def test_units_of_many_tasks_count_by_their_tasks_but_two_always_fit():
    policy = Policy(itertools.count())
    policy.meet({"a": Worker(1, "a")})
    taken = 0
    while (item := policy.next(0.0)) is not None:
        policy.cut(item, [str(i) for i in range(AHEAD)])
        taken += 1
    assert taken == MIN_UNITS
    policy.succeeded(next(iter(policy.flying)), "a", {})
    assert policy.next(0.0) is not None


# -- what takes too long ---------------------------------------------------------------------


def flying(policy: Policy, count: int) -> list[Attempt]:
    items = [launched(policy) for _ in range(count)]
    for item in items:
        policy.cut(item, [f"u{item.unit}"])
    return items


def test_only_tasks_at_work_become_overdue():
    policy = Policy(range(3), limit_s=10.0)
    policy.meet({"a": Worker(1, "a")})
    items = flying(policy, 3)
    keys = ["u2", "u1", "u0"]
    assert policy.overdue(0.0, {"a": keys}) == []
    assert policy.overdue(9.9, {"a": keys}) == []
    assert policy.overdue(10.0, {"a": keys}) == [("a", items[0])]
    policy.succeeded(items[0], "a", {})
    # The next begins when it is the first there: its own time counts from then on.
    assert policy.overdue(11.0, {"a": ["u2", "u1"]}) == []
    assert policy.overdue(20.9, {"a": ["u2", "u1"]}) == []
    assert policy.overdue(21.0, {"a": ["u2", "u1"]}) == [("a", items[1])]


def test_a_worker_of_two_threads_has_two_tasks_at_work():
    policy = Policy(range(3), limit_s=10.0)
    policy.meet({"a": Worker(2, "a")})
    items = flying(policy, 3)
    policy.overdue(0.0, {"a": ["u0", "u1", "u2"]})
    assert policy.overdue(10.0, {"a": ["u0", "u1", "u2"]}) == [("a", items[0]), ("a", items[1])]


def test_a_task_that_moves_begins_anew_and_a_worker_with_other_work_is_let_alone():
    policy = Policy(range(1), limit_s=10.0)
    policy.meet({"a": Worker(1, "a"), "b": Worker(1, "b")})
    flying(policy, 1)
    policy.overdue(0.0, {"a": ["u0"]})
    assert policy.overdue(11.0, {"b": ["u0"]}) == []
    assert policy.overdue(30.0, {"b": ["somebody-elses", "u0"]}) == []


def test_a_unit_that_overruns_is_tried_elsewhere_and_set_aside_in_the_end():
    policy = Policy(range(1), limit_s=10.0)
    policy.meet({"a": Worker(1, "a"), "b": Worker(1, "b")})
    for number, name in enumerate("aba", start=1):
        (item,) = flying(policy, 1)
        outcome = policy.overran(item, name)
        assert (outcome is None) == (number < 3)
    assert outcome is not None
    assert outcome.reason == "TimeoutError: took longer than the limit of 10 s"


# -- silence ---------------------------------------------------------------------------------


@pytest.mark.spec("ENG-20")
def test_silence_is_taken_for_loss_after_two_idle_looks_in_a_row():
    policy = Policy(())
    busy = iter([True, False, True, False, False])
    looks = [policy.lost_track(i * SILENCE_S, lambda: next(busy)) for i in range(1, 6)]
    assert looks == [False, False, False, False, True]


def test_an_outcome_breaks_the_silence():
    policy = Policy(())
    assert not policy.lost_track(SILENCE_S, lambda: False)
    policy.heard(SILENCE_S + 1)
    assert not policy.lost_track(2 * SILENCE_S, lambda: pytest.fail("asked too soon"))
    assert not policy.lost_track(2 * SILENCE_S + 1, lambda: False)


def launched(policy: Policy) -> Attempt:
    item = policy.next(0.0)
    assert item is not None
    return item


# -- any mixture -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(40), 328, 805, 1192, 1205, 1321])
def test_any_mixture_of_workers_and_units_comes_to_an_end_with_every_good_unit_done(seed: int):
    chance = random.Random(seed)
    poison = set(chance.sample(range(80), chance.randrange(4)))
    wrong = set(chance.sample(range(80), chance.randrange(4))) - poison
    kinds: list[Behaviour] = [raises, full, other_class, not_installed, dies]

    def honest(unit: int) -> Exception | str | None:
        if unit in poison:
            return "dies"
        return ValueError("always") if unit in wrong else None

    workers: dict[str, Behaviour] = {f"good{i}": honest for i in range(4)}
    workers["bad"] = chance.choice(kinds)
    speeds = {name: chance.choice([0.01, 1.0, 3.0]) for name in workers}
    cluster = Cluster(workers, seconds=speeds.__getitem__)
    cluster.run(range(80), window=chance.choice([None, 3, 10]))
    assert sorted(cluster.outcomes) == list(range(80))
    assert cluster.failed() == sorted(poison | wrong)
    assert not any(name.startswith("good") for name in cluster.left_out())
