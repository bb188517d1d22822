"""How units become tasks of a Dask cluster, in the unit form and in the graph form."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from distributed import Client, Future

from distbragg.graph.flight import Attempt, Flight, UnitCall, key_of
from distbragg.graph.limits import limited
from distbragg.graph.work import TaskSettings, TileTask, Work
from distbragg.plan.keys import UnitKey
from distbragg.plan.merge import merge_levels

PICTURE_INTERVAL_S = 5.0
"""Time between thumbnails of a watched run, s, however many workers there are."""


class Submitter:
    """Submits units.

    Parameters
    ----------
    client : distributed.Client
    work : Work
    settings : TaskSettings
    resources : mapping of str, optional
        Worker resources that rendering tasks ask for. Passed to each call: annotations on dask
        arrays lose them.
    """

    def __init__(
        self,
        client: Client,
        work: Work,
        settings: TaskSettings,
        resources: Mapping[str, float] | None,
    ) -> None:
        self._client = client
        self._work = work
        self._settings = settings
        self._resources = dict(resources) if resources else None
        self._pictured = float("-inf")

    def submit(self, flight: Flight, items: list[Attempt]) -> list[Future[Any]]:
        """Submit units in the flight's form; return a future of each one's receipt."""
        if flight.form == "unit":
            return flight.context.run(self._submit_whole, flight, items)
        return [flight.context.run(self._submit_cut, flight, item) for item in items]

    def _submit_whole(self, flight: Flight, items: list[Attempt]) -> list[Future[Any]]:
        seconds, render = self._settings.time_limit_s, self._work.render_unit
        calls = [
            UnitCall(seconds, render, flight.run, item.unit, item.attempt, self._unit_settings())
            for item in items
        ]
        futures: list[Future[Any]] = self._client.map(
            UnitCall.__call__,
            calls,
            key=[key_of("render-unit", flight, str(UnitKey(item.unit)), item) for item in items],
            resources=self._resources,
            retries=0,
        )
        return futures

    def _submit_cut(self, flight: Flight, item: Attempt) -> Future[Any]:
        """Submit a unit in the graph form: its tiles and source chunks, their sums, its storing."""
        tasks = self._work.expand_unit(flight.run, item.unit)
        item.tasks = sum(len(task.keys) for task in tasks)
        roots = [self._submit_tile(flight, item, task) for task in tasks]
        return self._client.submit(
            limited,
            self._settings.time_limit_s,
            self._work.write_unit,
            flight.run,
            item.unit,
            item.attempt,
            roots,
            self._unit_settings(),
            key=key_of("write-unit", flight, str(UnitKey(item.unit)), item),
            retries=0,
        )

    def _unit_settings(self) -> TaskSettings:
        """Return the next unit's settings: in a watched run one now and then makes a picture."""
        now = time.monotonic()
        if not self._settings.watch or now - self._pictured < PICTURE_INTERVAL_S:
            return self._settings
        self._pictured = now
        return replace(self._settings, picture=True)

    def _submit_tile(self, flight: Flight, item: Attempt, task: TileTask) -> Future[Any]:
        items = [
            self._client.submit(
                limited,
                self._settings.time_limit_s,
                self._work.render_partial,
                flight.run,
                key,
                self._settings,
                key=key_of("render-tile", flight, str(key), item),
                resources=self._resources,
                retries=0,
            )
            for key in task.keys
        ]
        first = task.keys[0]
        for groups in merge_levels(len(items), task.arity):
            items = [
                self._client.submit(
                    self._work.merge_partials,
                    items[group.start : group.stop],
                    key=key_of(
                        "merge-partials",
                        flight,
                        f"f{first.frame}-p{first.panel}-t{first.tile}-l{group.level}-g{group.index}",
                        item,
                    ),
                    retries=0,
                )
                if group.stop - group.start > 1
                else items[group.start]
                for group in groups
            ]
        return items[0]
