"""Units as tasks of a Dask cluster: what is sent to workers, under which keys, and what comes back.

A million units never make a million-task graph: only the units in flight are known to the client
and the scheduler, and every future is released as soon as its receipt has arrived.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, groupby
from typing import Any, Final, Self, cast

from distributed import Client, Future, get_worker, span

from distbragg.engine.attempt import Attempt, describe_error
from distbragg.engine.context import RunContext
from distbragg.engine.policy import Policy
from distbragg.engine.work import TaskSettings, TileTask, UnitFunctions
from distbragg.plan.frame import TileKey
from distbragg.plan.merge import merge_tree
from distbragg.plan.sweep import Form
from distbragg.rendering.frame import merge

FETCH_S = 10.0
"""Longest wait for the receipts of units that have ended, s: a worker may have died with them."""

PICTURE_INTERVAL_S: Final = 5.0
"""Time between thumbnails of a watched run, s, however many workers there are."""

WORKER: Final = "worker"  # key of the worker's address, which travels beside a receipt


class TaskFailed(Exception):
    """A task raised `error` on the worker at `address`."""

    def __init__(self, address: str, error: Exception) -> None:
        super().__init__(address, error)
        self.address, self.error = address, error


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A task as it is sent; Dask takes its name for it, and does not spell out its arguments."""

    function: Callable[..., Any]
    arguments: tuple[object, ...]
    name: str

    def __call__(self, *parts: object) -> Any:  # noqa: ANN401 whatever the function returns
        """Call the function, with `parts` before its last argument; say where it failed."""
        head, last = self.arguments[:-1], self.arguments[-1:]
        try:
            result = self.function(*head, *parts, *last)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
                told = error
            except Exception:
                told = RuntimeError(describe_error(error))
            raise TaskFailed(get_worker().address, told) from error
        return {**result, WORKER: get_worker().address} if isinstance(result, dict) else result

    def __dask_tokenize__(self) -> str:
        return self.name


@dataclass(eq=False)
class Flight:
    """The units of one `run_units` call that are on a cluster: submits them, takes what has ended.

    A run's tasks and their metrics stand under one name on the dashboard. That span is entered in
    a context of the flight's own: a generator must not leave its caller's changed between two
    outcomes. `resources` are passed to each call: annotations on dask arrays lose them.
    """

    client: Client
    run: RunContext
    policy: Policy
    work: UnitFunctions
    settings: TaskSettings
    form: Form
    resources: Mapping[str, float] | None
    futures: dict[Attempt, Future[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._name = self.work.name_of(self.run)
        self._context = copy_context()
        self._span = span("distbragg", self._name) if self.settings.watch else nullcontext()
        self._pictured = float("-inf")

    def __enter__(self) -> Self:
        self._context.run(self._span.__enter__)
        return self

    def __exit__(self, *_: object) -> None:
        self._context.run(self._span.__exit__, None, None, None)
        # Released, not cancelled: the scheduler drops a released task just the same, and a
        # cancellation under way would hit the same keys of a run that is resumed at once.
        self.release(list(self.futures))

    # -- what is submitted ---------------------------------------------------------------------

    def top_up(self) -> None:
        """Submit as many units as there is room for, those of one form in one message."""
        now = time.monotonic()
        batch: list[Attempt] = []
        while (item := self.policy.next(now)) is not None:
            if self.form == "graph":
                self._context.run(self._submit_graph, item)
            else:
                self.policy.cut(item, [self._key("render-unit", f"u{item.unit}", item)])
                batch.append(item)
        for where, items in groupby(batch, lambda item: item.where):
            self._context.run(self._submit_units, list(items), where)

    def submit_again(self, items: list[Attempt], reason: str) -> None:
        """Submit what is in flight once more, under other keys; it may run twice."""
        # A death that the scheduler has told of is for the policy to judge.
        kept = (each for each in items if each in self.futures)
        items = [item for item in kept if self.futures[item].status != "error"]
        self.release(items)
        for item in items:
            self.policy.resubmit(item, reason)

    def _submit_units(self, items: list[Attempt], where: frozenset[str] | None) -> None:
        keys = [item.keys[0] for item in items]
        calls = [
            TaskCall(self.work.render_unit, self._unit_arguments(item), key)
            for item, key in zip(items, keys, strict=True)
        ]
        futures = self.client.map(TaskCall.__call__, calls, key=keys, **self._placed(where))
        self.futures.update(zip(items, futures, strict=True))

    def _submit_graph(self, item: Attempt) -> None:
        """Submit a unit in the graph form: its tiles and source chunks, their sums, its storing."""
        work = self.work
        if work.expand_unit is None or work.write_unit is None:
            raise TypeError("this work has no graph form")
        keys: list[str] = []
        roots = [
            self._submit_tile(item, task, keys) for task in work.expand_unit(self.run, item.unit)
        ]
        keys.append(self._key("write-unit", f"u{item.unit}", item))
        self.policy.cut(item, keys)
        write = TaskCall(work.write_unit, self._unit_arguments(item), keys[-1])
        placed = {**self._placed(item.where), "resources": None}
        self.futures[item] = self.client.submit(write, roots, key=keys[-1], **placed)

    def _submit_tile(self, item: Attempt, task: TileTask, keys: list[str]) -> Future[Any]:
        placed = self._placed(item.where)
        merges = count()

        def render(key: TileKey) -> Future[Any]:
            keys.append(self._key("render-tile", str(key), item))
            arguments = self.run, key, self.settings
            part = TaskCall(cast("Any", self.work.render_partial), arguments, keys[-1])
            return self.client.submit(part, key=keys[-1], **placed)

        def add(parts: Sequence[Future[Any]]) -> Future[Any]:
            name = f"{task.keys[0].place}-m{next(merges)}"
            key = self._key("merge-partials", name, item)
            return self.client.submit(merge, parts, key=key, **{**placed, "resources": None})

        return merge_tree(task.keys, task.arity, render, add)

    def _key(self, prefix: str, name: str, item: Attempt) -> str:
        """Return a task's key: the run, the task, and the attempt."""
        again = f"r{item.again}" if item.again else ""
        return f"{prefix}-{self._name}-{name}-a{item.number}{again}"

    def _placed(self, where: frozenset[str] | None) -> dict[str, Any]:
        workers = None if where is None else sorted(where)
        return {"workers": workers, "resources": self.resources, "retries": 0}

    def _unit_arguments(self, item: Attempt) -> tuple[object, ...]:
        """Return what a unit's function is given; in a watched run one now and then pictures it."""
        now, settings = time.monotonic(), self.settings
        if settings.watch and now - self._pictured >= PICTURE_INTERVAL_S:
            self._pictured = now
            settings = replace(settings, picture=True)
        return self.run, item.unit, item.number, settings

    # -- what ends -----------------------------------------------------------------------------

    def take_ended(self) -> dict[Attempt, object]:
        """Take what has ended: what the unit returned, or the error in its place."""
        ended = {item: one for item, one in self.futures.items() if one.status != "pending"}
        receipts = self._fetch([one for one in ended.values() if one.status == "finished"])
        taken: dict[Attempt, object] = {}
        for item, future in ended.items():
            receipt = receipts.get(str(future.key))
            if receipt is not None:
                taken[item] = receipt
            elif future.status not in {"pending", "finished", "lost"}:
                # The others' receipts were lost with a worker; they are made again.
                error = future.exception() if future.status == "error" else None
                told = f"unit {item.unit} was {future.status}"
                taken[item] = error if isinstance(error, Exception) else CancelledError(told)
        self.release(list(taken))
        return taken

    def _fetch(self, finished: list[Future[Any]]) -> dict[str, Any]:
        """Fetch what finished units return, in one message; less what is on no worker any more."""
        if not finished:
            return {}
        wanted = {str(future.key): future for future in finished}
        gather = partial(self.client.gather, wanted, errors="skip", asynchronous=True)
        try:
            found: dict[str, Any] = self.client.sync(gather, callback_timeout=FETCH_S)
        except TimeoutError:
            return {}
        return found

    def release(self, items: list[Attempt]) -> None:
        """Let go of futures, from the event loop: each would wake it by a system call from here."""
        futures = [self.futures.pop(item) for item in items]

        def release() -> None:
            for future in futures:
                future.release()

        if futures and self.client.loop is not None:
            self.client.loop.add_callback(release)
