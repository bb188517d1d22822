"""One HTML page about a run, from its files alone."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from distbragg._version import __version__
from distbragg.graph.quantities import scaled
from distbragg.run.report_figures import MAX_ROWS, throughput_figure, timeline_figure
from distbragg.run.status import RunStatus, status
from distbragg.run.status_pace import Work, busy_seconds, span_seconds, work_of
from distbragg.store.files import write_atomic
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import RunDirectory, open_run
from distbragg.store.standing import repairs

SHOWN_FAILURES: Final = 25
SHOWN_REPAIRS: Final = 100
SHOWN_WORST: Final = 10
_TIMES: Final = ("render", "kernel", "write", "encode", "verify")

_STYLE: Final = """
:root{--ink:#1a1d21;--soft:#5c6570;--line:#d9dee4;--bar:#2f6f9f;--unit:#3d8b6e;--bad:#b3372f}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:1000px;margin:2em auto;
padding:0 1em}
h1{font-size:1.5em;margin-bottom:0}h2{font-size:1.15em;margin-top:2em}
p.sub,caption,.note{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:.92em}
th,td{text-align:left;padding:.25em .8em .25em 0;border-bottom:1px solid var(--line);
vertical-align:top}
td{overflow-wrap:anywhere}th{white-space:nowrap}
svg{width:100%;height:auto}.bar{fill:var(--bar)}.unit{fill:var(--unit)}
.grid{stroke:var(--line)}.cut{stroke:var(--bad);stroke-dasharray:4 3}
.tick{font-size:11px;fill:var(--soft)}.name{font-size:12px;fill:var(--ink)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85em}
"""


def write_report(run: RunDirectory | str | Path, out: str | Path) -> Path:
    """Write the report of a run as one self-contained HTML file; see `report_html`.

    Raises
    ------
    InputError
        `run` is not a run.
    DamageError
        Its manifest or ledger is damaged.
    EnvironmentFailure
        There is no room.
    """
    target = Path(out).absolute()
    write_atomic(target, report_html(run).encode())
    return target


def report_html(run: RunDirectory | str | Path) -> str:
    """Return an HTML page on a run: numbers, throughput, timeline, failures, provenance.

    It holds no script and refers to nothing outside itself.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    now = status(directory)
    works = work_of(completed_units(directory).values())
    title = now.title or directory.path.name
    sections = (
        f"<h1>{escape(title)}</h1><p class='sub'>{escape(str(directory.path))}</p>",
        _numbers(directory, now, works),
        _figures(directory, works),
        _failures(directory, now),
        _worst(directory, works),
        _repairs(directory),
        _writers(directory, works),
        _provenance(directory),
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}: distbragg run</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _numbers(run: RunDirectory, now: RunStatus, works: Sequence[Work]) -> str:
    busy = sum(busy_seconds(work.receipt) for work in works)
    spent = {name: _total(works, f"{name}_seconds") for name in _TIMES}
    kernel, steps = spent["kernel"], int(_total(works, "steps"))
    parts = {
        "in the kernel": kernel,
        "in the rest of rendering": max(0.0, spent["render"] - kernel),
        "encoding": spent["encode"],
        "writing": max(0.0, spent["write"] - spent["encode"] - spent["verify"]),
        "verifying": spent["verify"],
    }
    rows = [
        ("state", now.state),
        ("frames", f"{now.frames_done:,} of {now.frames:,} done"),
        ("set aside", f"{now.frames_failed:,} frames in {now.units_failed:,} units"),
        ("units", f"{now.units_done:,} of {now.units:,}"),
        ("image", _image(run)),
        ("stored", f"{now.stored_bytes / 1e6:,.1f} MB"),
        ("wall time of work", f"{span_seconds(works):,.1f} s"),
        ("worker time", f"{busy:,.1f} s"),
        *(
            (f"of it {part}", f"{seconds:,.1f} s, {100 * seconds / busy:.1f} %")
            for part, seconds in parts.items()
            if busy
        ),
    ]
    if steps and kernel:
        rate = f"{scaled(steps / kernel)}steps/s in the kernel"
        rows.append(("rendered", f"{scaled(steps)}steps, {rate}"))
    if works:
        rows += [("first unit begun", _moment(works[0].start)), ("last", _moment(works[-1].end))]
    return "<h2>The run</h2>" + _table((), rows)


def _image(run: RunDirectory) -> str:
    layout = run.layout
    panels = f"{layout.panels} panels of " if layout.panels > 1 else ""
    return f"{panels}{layout.shape[0]} x {layout.shape[1]} pixels, {layout.dtype}"


def _figures(run: RunDirectory, works: Sequence[Work]) -> str:
    if not works:
        return "<h2>Throughput</h2><p class='note'>Nothing is rendered yet.</p>"
    writers = len({work.writer for work in works})
    hidden = f" The {MAX_ROWS} busiest of {writers:,} are shown." if writers > MAX_ROWS else ""
    return (
        "<h2>Throughput</h2>"
        + throughput_figure(works, run.layout.frame_count)
        + "<h2>Timeline</h2><p class='note'>One row per writing process, one bar per unit; a "
        f"dashed line is an interruption, cut out.{hidden}</p>" + timeline_figure(works)
    )


def _failures(run: RunDirectory, now: RunStatus) -> str:
    if not now.failures:
        return "<h2>Failures</h2><p class='note'>None.</p>"
    # Reasons that differ in their numbers alone are one reason.
    reasons = Counter(re.sub(r"\b\d+\b", "N", item.reason) for item in now.failures)
    kinds = [(f"{count:,}", reason) for reason, count in reasons.most_common(SHOWN_FAILURES)]
    rows = [
        (str(item.unit), _frames(run, item.unit), str(item.attempts), item.reason)
        for item in now.failures[:SHOWN_FAILURES]
    ]
    more = len(now.failures) - len(rows)
    note = f"<p class='note'>and {more:,} more units</p>" if more else ""
    return (
        "<h2>Failures</h2>"
        + _table(("units", "reason"), kinds)
        + "<h3>One by one</h3>"
        + _table(("unit", "frames", "attempts", "reason"), rows)
        + note
    )


def _worst(run: RunDirectory, works: Sequence[Work]) -> str:
    brightest = sorted(works, key=lambda work: -float(work.receipt.record.get("max", 0.0)))
    slowest = sorted(works, key=lambda work: -busy_seconds(work.receipt))
    bright = [
        (_frames(run, work.unit), f"{float(work.receipt.record.get('max', 0.0)):.6g}")
        for work in brightest[:SHOWN_WORST]
    ]
    slow = [
        (_frames(run, work.unit), f"{busy_seconds(work.receipt):.3f} s, {work.writer}")
        for work in slowest[:SHOWN_WORST]
    ]
    return (
        "<h2>Worst frames</h2><h3>Brightest pixel</h3>"
        + _table(("frames of the unit", "photons in the brightest pixel"), bright)
        + "<h3>Slowest</h3>"
        + _table(("frames of the unit", "time, process"), slow)
    )


def _repairs(run: RunDirectory) -> str:
    rows = [
        (_moment(item["time"]), str(item["unit"]), str(item["problem"]))
        for item in repairs(run)[-SHOWN_REPAIRS:]
    ]
    return "<h2>Repairs</h2>" + _table(("when", "unit", "what was found"), rows) if rows else ""


def _writers(run: RunDirectory, works: Sequence[Work]) -> str:
    by_writer: dict[str, list[Work]] = {}
    for work in works:
        by_writer.setdefault(work.writer, []).append(work)
    rows = []
    for name, done in sorted(by_writer.items(), key=lambda item: -len(item[1]))[:MAX_ROWS]:
        busy = sum(busy_seconds(work.receipt) for work in done)
        kernel = _total(done, "kernel_seconds")
        frames = sum(run.layout.frame_count(work.unit) for work in done)
        storage, wall = _total(done, "write_seconds"), span_seconds(done)
        shares = [kernel, storage, max(0.0, busy - kernel - storage), max(0.0, wall - busy)]
        whole = max(wall, busy)
        cells = [f"{100 * share / whole:.1f} %" if whole else "?" for share in shares]
        rows.append((name, f"{frames:,}", f"{whole:,.1f} s", *cells))
    head = ("host, process", "frames", "time", "kernel", "storage", "other", "waiting")
    return "<h2>Processes</h2>" + _table(head, rows)


def _provenance(run: RunDirectory) -> str:
    manifest = run.manifest
    provenance = manifest.provenance
    rows = [(name, _text(value)) for name, value in sorted(provenance.items())]
    rows += [(f"class: {name}", value) for name, value in sorted(manifest.numeric_class.items())]
    rows += [
        (name.replace("_", " "), _text(value)) for name, value in sorted(manifest.summary.items())
    ]
    rows += [
        ("run id", run.run_id),
        ("physics hash", manifest.physics_hash),
        ("plan hash", manifest.plan_hash),
        ("report by", f"distbragg {__version__}"),
    ]
    spec = json.dumps(manifest.sweep_plain, indent=2, sort_keys=True)
    return (
        "<h2>Provenance</h2>"
        + _table((), rows)
        + f"<details><summary>Specification</summary><pre>{escape(spec)}</pre></details>"
    )


def _total(works: Sequence[Work], name: str) -> float:
    """Sum a number of the receipts; receipts that do not state it count nothing."""
    return math.fsum(float(work.receipt.record.get(name, 0.0)) for work in works)


def _frames(run: RunDirectory, unit: int) -> str:
    """Name the frames of a unit by their place along each dimension."""
    first = last = 0
    places = []
    for part, (name, size) in zip(run.layout.unit_region(unit), run.layout.dims, strict=True):
        first, last = first * size + part.start, last * size + part.stop - 1
        single = part.stop - part.start == 1
        places.append(
            f"{name} {part.start}" if single else f"{name} {part.start} to {part.stop - 1}"
        )
    flat = f"{first}" if first == last else f"{first} to {last}"
    return f"{flat} ({', '.join(places)})" if places else flat


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{body}</table>"


def _moment(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(float(seconds), datetime.UTC)
    return moment.isoformat(sep=" ", timespec="seconds")


def _text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in sorted(value.items()))
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
