"""A specification explained: every number that is resolved, where it comes from, what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distbragg.errors import DistbraggError, InputError
from distbragg.models.build import resolve
from distbragg.models.origins import recorded
from distbragg.notes import Note, Notes
from distbragg.plan.memory import precheck_spec
from distbragg.run.explained import Fact, Told, all_fields, resolved_facts
from distbragg.run.follows import following_facts
from distbragg.run.machine import memory_bytes
from distbragg.run.notes import sweep_notes
from distbragg.run.prepare import SpecLike, as_sweep
from distbragg.spec.canonical import to_plain
from distbragg.spec.files import file_fields
from distbragg.spec.sweep import SweepSpec
from distbragg.store.frame_labels import first_with_crystal
from distbragg.templates import facts_html


@dataclass(frozen=True, slots=True)
class Explanation:
    """One frame of a specification, number by number.

    `facts` are those that matter and all others; `shown` leaves out the latter.
    """

    path: str
    frame: int
    sweep: SweepSpec
    facts: tuple[Fact, ...]
    notes: Notes
    frames_checked: int  # looked at for notes; 0 where the frame cannot be resolved
    first_hit: bool = False  # the frames before have no crystal

    def shown(self, *, everything: bool = False) -> Iterator[Fact]:
        """Yield the facts that matter, section by section, or all of them."""
        return (fact for fact in self.facts if everything or fact.matters)

    def value(self, name: str) -> Any:  # noqa: ANN401
        """Return the value of a fact by its name or field."""
        for fact in self.facts:
            if name in (fact.name, fact.field):
                return fact.value
        raise InputError(f"there is no fact named {name!r}", field="explain")

    def table(self, *, everything: bool = False) -> list[tuple[str, str, str]]:
        """Rows (name, value, origin), a section's name above its own."""
        sweep, rows = self.sweep, [("sweep", "", "")]
        which = f"{self.frame}, the first with a crystal" if self.first_hit else f"{self.frame}"
        rows += [("frames", f"{sweep.frames:,}, of which this is {which}", "")]
        for axis in sweep.coordinates():
            rows += [(f"axis {axis.name}", axis.told, axis.dim)] if axis.told else []
        if sweep.frames > self.frames_checked > 1:
            text = f"{self.frames_checked:,}, at the ends of the axes"
            rows.append(("frames checked", text, ""))
        rows, section = ([] if sweep.frames == 1 else rows), ""
        for fact in self.shown(everything=everything):
            if fact.section != section:
                section = fact.section
                rows.append((section, "", ""))
            meaning = fact.meaning if everything and fact.name in fact.field else ""
            rows.append((f"  {fact.name}", fact.text, f"{fact.source}  {meaning}".rstrip()))
        return rows

    def rows(self) -> list[tuple[str, str]]:
        """Rows (name, value) of what matters, and the notes."""
        rows = [
            (name, f"{value} ({origin})" if origin else value)
            for name, value, origin in self.table()
        ]
        return rows + [(note.kind, str(note)) for note in self.notes]

    def _repr_html_(self) -> str:
        return facts_html(self.sweep.experiment.title or self.path or "Explanation", self.rows())

    def to_plain(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        sweep = self.sweep
        return {
            "path": self.path,
            "title": sweep.experiment.title,
            "physics": sweep.experiment.physics,
            "frames": sweep.frames,
            "dims": dict(sweep.dims),
            "axes": [
                {"name": axis.name, "dim": axis.dim, "path": axis.path, "unit": axis.unit}
                | ({"drawn": axis.drawn} if axis.drawn else {})
                for axis in sweep.coordinates()
                if axis.told
            ],
            "files": dict(file_fields(sweep)),
            "frame": self.frame,
            "facts": [asdict(fact) for fact in self.facts],
            "notes": [note.to_plain() for note in self.notes],
            "frames_checked": self.frames_checked,
            "spec": to_plain(sweep),
        }


def explain(
    spec: SpecLike,
    overrides: Sequence[str] = (),
    *,
    frame: int | None = None,
    root: str | Path | None = None,
) -> Explanation:
    """Explain one frame of a specification: every number, its unit and where it comes from.

    Nothing is rendered but the background, coarsely, for its level. A specification that cannot be
    rendered is explained as far as it goes, with the reason among the notes.

    Parameters
    ----------
    spec, overrides, root
        As for `create`.
    frame : int, optional
        Of a sweep; by default the first that has a crystal, with the notes of the whole sweep.

    Raises
    ------
    InputError
        The specification cannot be read, or has no such frame.
    """
    sweep = as_sweep(spec, overrides, root=root)
    index = first_with_crystal(sweep) if frame is None else frame
    if not 0 <= index < sweep.frames:
        problem = f"{index} is none of the {sweep.frames} frames"
        raise InputError(problem, source="--frame", remedy=f"give 0 to {sweep.frames - 1}")
    written = sweep.frame_spec(index)
    swept = sweep.swept
    changed = tuple(item.partition("=")[0].removeprefix("experiment.") for item in overrides)
    facts: list[Fact] = []
    try:
        precheck_spec(written, memory_bytes())
        with recorded() as origins:
            resolved = resolve(written, frame=index)
        told = Told(sweep.experiment, written, resolved, origins, swept, changed)
        facts = [*resolved_facts(told), *following_facts(told)]
        notes, checked = resolved.experiment.notes, 1
        if frame is None and sweep.frames > 1:
            said = sweep_notes(sweep, resolved.experiment, first=index)
            notes, checked = said.notes, said.frames
    except DistbraggError as error:
        told = Told(sweep.experiment, written, None, {}, swept, changed)
        notes, checked = (Note("warning", "cannot be rendered", str(error)),), 0
    if written.crystal.is_missed:
        field = "crystal.drawn_lattices.count" if written.crystal.present else "crystal.present"
        which = f"frame {index}" if sweep.frames > 1 else "the frame"
        notes = (*notes, Note("note", field, f"{which} is a miss: no lattice is in the beam"))
    known = {origin.text for origin in told.origins.values() if origin.kind == "given"}
    facts += all_fields(told, known.union(fact.field for fact in facts))
    path = "" if isinstance(spec, SweepSpec) or not isinstance(spec, str | Path) else str(spec)
    first_hit = frame is None and index > 0
    return Explanation(path, index, sweep, tuple(_in_order(facts)), notes, checked, first_hit)


def _in_order(facts: list[Fact]) -> Iterator[Fact]:
    """Yield facts by section, sections in the order of their first fact."""
    for section in dict.fromkeys(fact.section for fact in facts):
        yield from (fact for fact in facts if fact.section == section)
