"""One HTML page about a run, from its files alone."""

from __future__ import annotations

import base64
import heapq
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from distbragg._version import __version__
from distbragg.engine.progress import KERNEL, PARTS, History, ProcessTime, UnitSpan, unit_numbers
from distbragg.errors import DistbraggError
from distbragg.quantities import moment, scaled
from distbragg.run.frames import frame_columns, frame_rows
from distbragg.run.own_files import check_own, check_suffix, is_report
from distbragg.run.result import cause_of
from distbragg.run.status import (
    RunStatus,
    identity_rows,
    read_records,
    status_of,
    summary_rows,
    work_intervals,
    work_seconds,
)
from distbragg.store.files import write_durable
from distbragg.store.ledger import Receipt, repairs
from distbragg.store.run_directory import RunDirectory, RunLike
from distbragg.templates import fill
from distbragg.templates.charts import BarChart, TimeAxis, bar_chart, time_axis

SHOWN_FAILURES: Final = 25
SHOWN_REPAIRS: Final = 100
SHOWN_WORST: Final = 10
SHOWN_SLOWEST: Final = 6  # pictures
MAX_ROWS: Final = 40  # processes that the timeline and the table show: those with most units
BARS: Final = 80
_SPENT: Final = {
    KERNEL: "in the kernel",
    "render-other": "in the rest of rendering",
    "encode": "encoding",
    "write": "writing",
    "verify": "verifying",
}
_THIN: Final = 0.002
"""Units shorter than this share of the timeline are joined with their neighbours."""


def write_report(run: RunLike, out: str | Path) -> Path:
    """Write the report of a run as one self-contained HTML file; see `report_html`.

    An `InputError` where `out` does not end in .html, or is there and not such a page.
    """
    target = Path(out).absolute()
    check_suffix(target, (".html", ".htm"), "a report")
    check_own({target: is_report})
    write_durable(target, report_html(run).encode())
    return target


def report_html(run: RunLike) -> str:
    """Return an HTML page on a run, which holds no script and refers to nothing outside itself."""
    records = read_records(run)
    directory, now, receipts = records.run, status_of(records), records.done.values()
    plain = [receipt.to_plain() for receipt in receipts]
    spans = [UnitSpan.of(item["unit"], item) for item in plain]
    spans.sort(key=lambda span: span.end)
    by_process = _by_process(spans)
    slowest = slowest_frames(receipts)
    brightest = (
        (photons, frame, receipt.unit)
        for receipt in receipts
        # Receipts of earlier versions name no frame.
        for frame, photons in receipt.brightest or ((-1, receipt.max),)
    )
    reasons = Counter(cause_of(item.reason) for item in now.failures)
    return fill(
        "report.html",
        title=now.title or directory.path.name,
        path=directory.url,
        numbers=_numbers(directory, now, spans, plain),
        throughput=throughput(spans),
        timeline=timeline(spans),
        processes=_processes(by_process),
        hidden_processes=max(0, len(by_process) - MAX_ROWS),
        shown_processes=MAX_ROWS,
        parts=PARTS,
        reasons=[(count, reason) for reason, count in reasons.most_common(SHOWN_FAILURES)],
        failures=[
            (item.unit, _frames(directory, item.unit), item.attempts, item.reason)
            for item in now.failures[:SHOWN_FAILURES]
        ],
        more_failures=max(0, len(now.failures) - SHOWN_FAILURES),
        columns=frame_columns(directory.sweep)[1:],
        slowest=[
            [*frame_row(directory, frame, unit), f"{seconds:.3g} s", process]
            for seconds, frame, unit, process in slowest
        ],
        **_pictures(directory, slowest),
        brightest=[
            [*frame_row(directory, frame, unit), f"{photons:.6g}"]
            for photons, frame, unit in heapq.nlargest(SHOWN_WORST, brightest)
        ],
        repairs=[
            (moment(item.time), item.unit, item.problem)
            for item in repairs(directory)[-SHOWN_REPAIRS:]
        ],
        provenance=_provenance(directory),
        specification=json.dumps(directory.manifest.sweep_plain, indent=2, sort_keys=True),
    )


def slowest_frames(
    receipts: Iterable[Receipt], count: int = SHOWN_WORST
) -> list[tuple[float, int, int, str]]:
    """Return the slowest frames: seconds in the kernel, frame, unit, and host and process."""
    found = (
        (seconds, frame, receipt.unit, f"{receipt.host} {receipt.pid}")
        for receipt in receipts
        for frame, seconds in receipt.slowest
    )
    return heapq.nlargest(count, found)


def _pictures(run: RunDirectory, slowest: Sequence[tuple[float, int, int, str]]) -> dict[str, str]:
    """Draw a contact sheet and the slowest frames, as base64; or say why there is no picture."""
    from distbragg.run.plot import PlotOptions, RunPictures, as_png

    drawn = {"sheet": b"", "slowest_sheet": b""}
    refused = ""
    try:
        pictures = RunPictures(run)
        if pictures.rendered.any():
            drawn["sheet"] = as_png(pictures.sheet(PlotOptions()))
        shown = [
            (frame, f"{frame}: {seconds:.3g} s")
            for seconds, frame, _, _ in slowest[:SHOWN_SLOWEST]
            if 0 <= frame < pictures.rendered.size and pictures.rendered[frame]
        ]
        if shown:
            frames, titles = zip(*shown, strict=True)
            drawn["slowest_sheet"] = as_png(pictures.numbered(frames, titles, len(frames)))
    except (DistbraggError, OSError) as error:  # the page is about how the run went
        refused = str(error)
    encoded = {name: base64.b64encode(data).decode("ascii") for name, data in drawn.items()}
    return {**encoded, "no_picture": refused}


def throughput(spans: Sequence[UnitSpan]) -> BarChart | None:
    """Frames per second of wall time over the time of work, a unit's evenly; None: no units."""
    if not spans:
        return None
    axis, seconds = _axis(spans), max(work_seconds(spans), 1e-9)
    history = History(width=seconds / BARS)
    for first, last, span in _places(spans):
        history.add(seconds * first, seconds * last, span.frames, 0.0)
    # The end of the work may lie in a bin of its own, which holds nothing.
    rates = [frames / history.width for frames in history.frames[:BARS]]
    return bar_chart(axis, rates, "frames / s", "Frames per second over the time of work")


def timeline(spans: Sequence[UnitSpan]) -> dict[str, Any] | None:
    """Tell when each process worked, as shares of the time of work; None: no units."""
    if not spans:
        return None
    rows: dict[str, list[tuple[float, float]]] = {}
    counts = Counter(span.process for span in spans)
    shown = {name for name, _ in counts.most_common(MAX_ROWS)}
    for first, last, span in sorted(_places(spans), key=lambda place: place[:2]):
        if span.process not in shown:
            continue
        bars = rows.setdefault(span.process, [])
        if bars and last - first < _THIN and first - bars[-1][1] < _THIN / 2:
            bars[-1] = bars[-1][0], max(bars[-1][1], last)
        else:
            bars.append((first, last))
    return {"axis": _axis(spans), "rows": list(rows.items())}


def _axis(spans: Sequence[UnitSpan]) -> TimeAxis:
    """Time of work, pauses between executions cut out."""
    passed, cuts = 0.0, []
    for start, end in work_intervals(spans):
        passed += end - start
        cuts.append(passed)
    return time_axis(passed, "time of work", cuts[:-1])


def _places(spans: Sequence[UnitSpan]) -> Iterable[tuple[float, float, UnitSpan]]:
    """Begin and end of each span as shares of the time of work, in the order of their starts."""
    intervals = work_intervals(spans)
    whole = max(sum(end - start for start, end in intervals), 1e-9)
    passed, place = 0.0, 0
    for span in sorted(spans, key=lambda item: item.start):
        while span.start > intervals[place][1]:
            passed += intervals[place][1] - intervals[place][0]
            place += 1
        begin = passed + span.start - intervals[place][0]
        yield begin / whole, (begin + span.busy) / whole, span


def _by_process(spans: Iterable[UnitSpan]) -> dict[str, list[UnitSpan]]:
    """Spans of each process, those with most units first."""
    found: dict[str, list[UnitSpan]] = {}
    for span in spans:
        found.setdefault(span.process, []).append(span)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _processes(by_process: dict[str, list[UnitSpan]]) -> list[dict[str, Any]]:
    rows = []
    for name, spans in list(by_process.items())[:MAX_ROWS]:
        time = ProcessTime()
        for span in spans:
            time.add(span)
        wall = max(work_seconds(spans), time.busy)
        rows.append({"name": name, "frames": time.frames, "wall": wall, **time.shares(wall)})
    return rows


def _numbers(
    run: RunDirectory,
    now: RunStatus,
    spans: Sequence[UnitSpan],
    receipts: Sequence[Mapping[str, Any]],
) -> list[tuple[str, str]]:
    busy, steps = sum(span.busy for span in spans), sum(span.steps for span in spans)
    units = [unit_numbers(receipt) for receipt in receipts]
    spent = {label: math.fsum(unit[label] for unit in units) for label in _SPENT}
    kernel = spent[KERNEL]
    layout = run.layout
    panels = f"{layout.panels} panels of " if layout.panels > 1 else ""
    rows = [
        *now.count_rows(),
        ("image", f"{panels}{layout.shape[0]} x {layout.shape[1]} pixels, {layout.dtype}"),
        ("wall time of work", f"{work_seconds(spans):,.1f} s"),
        ("worker time", f"{busy:,.1f} s"),
    ]
    if busy:
        for label, part in _SPENT.items():
            share = f"{spent[label]:,.1f} s, {100 * spent[label] / busy:.1f} %"
            rows.append((f"of it {part}", share))
    if steps and kernel:
        rate = f"{scaled(steps / kernel)}steps/s in the kernel"
        rows.append(("rendered", f"{scaled(steps)}steps, {rate}"))
    if spans:
        first = min(span.start for span in spans)
        rows += [("first unit begun", moment(first)), ("last", moment(spans[-1].end))]
    return rows


def frame_row(run: RunDirectory, frame: int, unit: int) -> list[str]:
    """Name a frame by index and swept values; by those of its unit where a receipt names none."""
    if not 0 <= frame < run.layout.frames:  # a receipt may come from anywhere
        return [_frames(run, unit), *("" for _ in frame_columns(run.sweep)[1:])]
    (row,) = frame_rows(run.sweep, [frame])
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in row]


def _frames(run: RunDirectory, unit: int) -> str:
    """Name the frames of a unit by their place along each dimension."""
    places = []
    for part, (name, _) in zip(run.layout.unit_region(unit), run.layout.dims, strict=True):
        places.append(f"{name} {_span(part.start, part.stop - 1)}")
    frames = run.layout.unit_frames(unit)
    flat = _span(frames[0], frames[-1])
    return f"{flat} ({', '.join(places)})" if places else flat


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


def _provenance(run: RunDirectory) -> list[tuple[str, str]]:
    manifest = run.manifest
    return [
        *((name, _text(value)) for name, value in sorted(manifest.provenance.items())),
        *((f"class: {name}", value) for name, value in sorted(manifest.numeric_class.items())),
        *summary_rows(run),
        *identity_rows(manifest),
        ("report by", f"distbragg {__version__}"),
    ]


def _text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in sorted(value.items()))
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
