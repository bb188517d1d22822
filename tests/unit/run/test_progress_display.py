"""The progress display, driven by events and a clock of our own."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from distbragg.engine.events import (
    JobsSubmitted,
    RunStarted,
    TileFinished,
    UnitFinished,
    UnitRetried,
    WorkersChanged,
)
from distbragg.engine.progress import DISK_INTERVAL_S, DiskWatch
from distbragg.engine.work import UnitOutcome
from distbragg.quantities import duration, scaled
from distbragg.run.progress import (
    PLAIN_INTERVAL_S,
    REFRESH_S,
    Lines,
    Notebook,
    Progress,
    ProgressDisplay,
    Terminal,
    shown_progress,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def done(unit: int, frames: int = 1, cost: float = 1.0, **receipt: object) -> UnitFinished:
    return UnitFinished(UnitOutcome(unit, "done", 1, receipt), frames=frames, cost=cost)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_plain_lines_tell_frames_rate_time_left_and_workers(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay(Lines(), clock=clock) as view:
        view(RunStarted(3, 12, cost=60.0, workers=2, dashboard="http://x/status"))
        clock.now += 20
        view(done(0, frames=4, cost=20.0))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "distbragg: dashboard: http://x/status"
    assert lines[1] == "distbragg: 0/12 frames, ? left, 2 workers"
    assert lines[2] == "distbragg: 4/12 frames, 0.2 frames/s, 40 s left, 2 workers"


def test_plain_lines_come_at_most_once_an_interval(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay(Lines(), clock=clock) as view:
        view(RunStarted(units=100, frames=100, cost=1.0, workers=1))
        for unit in range(100):
            clock.now += PLAIN_INTERVAL_S / 50
            view(done(unit))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith("distbragg: 100/100 frames")


def test_failures_and_retries_are_named_and_counted(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay(Lines(), clock=clock) as view:
        view(RunStarted(units=2, frames=8, cost=1.0, workers=1))
        view(UnitRetried(unit=1, attempt=1, reason="OSError:\n disk"))
        view(UnitFinished(UnitOutcome(1, "failed", 3, {}, "ValueError: bad"), frames=4))
        view(WorkersChanged(workers=4))
        view(done(0))
    err = capsys.readouterr().err
    assert "distbragg: unit 1 is tried again: OSError: disk\n" in err
    assert "distbragg: unit 1 is set aside: ValueError: bad\n" in err
    assert "4 workers, 4 failed, 1 retry" in err


def test_units_that_fail_for_one_cause_are_told_once(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay(Lines(), clock=clock) as view:
        view(RunStarted(units=9, frames=9, cost=1.0, workers=1))
        for unit in range(8):
            reason = f"ValueError: {unit + 70000} photons in pixel ({unit}, 3)"
            view(UnitRetried(unit=unit, attempt=1, reason=reason))
            view(UnitFinished(UnitOutcome(unit, "failed", 3, {}, reason), frames=1))
        view(UnitFinished(UnitOutcome(8, "failed", 3, {}, "OSError: disk"), frames=1))
    said = [line for line in capsys.readouterr().err.splitlines() if " unit " in line]
    assert [line.partition(" is ")[0] for line in said] == [
        "distbragg: unit 0",
        "distbragg: unit 0",
        "distbragg: unit 8",
    ]


def test_jobs_of_a_batch_system_are_named(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(Lines(), clock=clock) as view:
        view(JobsSubmitted("slurm", ("12", "13")))
    assert capsys.readouterr().err == "distbragg: 2 jobs submitted to slurm: 12, 13\n"


def test_a_run_with_nothing_left_prints_no_progress(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay(Lines(), clock=clock) as view:
        view(RunStarted(units=0, frames=0, cost=0.0, workers=1))
    assert capsys.readouterr().err == ""


@pytest.mark.spec("WAT-1")
def test_the_summary_tells_steps_room_on_disk_and_time_outside_the_kernel(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = {"pid": 7, "host": "a", "render_seconds": 8.0, "write_seconds": 2.0}
    with ProgressDisplay(Lines(), disk_free=lambda: 35 * 10**9, clock=clock) as view:
        view(RunStarted(units=2, frames=8, cost=2.0, workers=1))
        clock.now += 10
        view(done(0, frames=4, **busy, kernel_seconds=7.5, steps=4 * 10**9, time=110.0))
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "distbragg: 4/8 frames, 0.4 frames/s, 400 Msteps/s, 10 s left, 1 worker, "
        "35 GB free on disk, 25 % outside the kernel"
    )


def test_the_disk_is_looked_at_once_in_a_while(clock: Clock) -> None:
    looks = iter([5, 4])
    disk = DiskWatch(lambda: next(looks), clock)
    assert [disk.free, disk.free] == [5, 5]
    clock.now += DISK_INTERVAL_S
    assert disk.free == 4


@pytest.mark.spec("WAT-1")
def test_a_terminal_gets_a_live_display(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(Terminal(), clock=clock) as view:
        view(RunStarted(units=2, frames=2, cost=1.0, workers=1))
        view(TileFinished(unit=0, frame=0, done=1, total=2))
        view(done(0))
        view(UnitRetried(unit=1, attempt=1, reason="[red]brackets stay[/red]"))
        clock.now += 2
        view(done(1))
    err = capsys.readouterr().err
    assert "2/2 frames" in err
    assert "1 frames/s" in err
    assert "[red]brackets stay[/red]" in err


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7 "), (999.6, "1 k"), (1.234e9, "1.23 G"), (4.5e20, "4.5e+05 P")]
)
def test_large_numbers_read_well(value: float, text: str) -> None:
    assert scaled(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.24, "4.2 s"),
        (59.4, "59 s"),
        (200.2, "3 min 20 s"),
        (7500.0, "2 h 5 min"),
        (float("inf"), "?"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Shell:
    """Stands for IPython: keeps what a notebook would show."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages: list[str] = []
        shown = ModuleType("IPython.display")
        shown.HTML = str  # type: ignore[attr-defined]
        shown.display = self.display  # type: ignore[attr-defined]
        package = ModuleType("IPython")
        package.get_ipython = lambda: self  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", package)
        monkeypatch.setitem(sys.modules, "IPython.display", shown)

    kernel = "a notebook's"

    def display(self, page: str, *, display_id: bool) -> Shell:
        assert display_id
        self.update(page)
        return self

    def update(self, page: str) -> None:
        self.pages.append(page)


@pytest.mark.spec("WAT-10")
def test_a_notebook_gets_one_bar_that_is_redrawn(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(monkeypatch)
    with ProgressDisplay(Notebook(), clock=clock) as view:
        view(RunStarted(units=40, frames=40, cost=1.0, workers=1, title="<b>garnet</b>"))
        view(UnitRetried(unit=1, attempt=1, reason="OSError: <disk>"))
        for unit in range(40):
            clock.now += REFRESH_S / 10
            view(done(unit))
    assert 4 <= len(shell.pages) <= 7, "redrawn once in a while, not for every unit"
    assert "0/40 frames" in shell.pages[0]
    assert "40/40 frames" in shell.pages[-1]
    assert "width: 100.00%" in shell.pages[-1]
    assert "&lt;b&gt;garnet" in shell.pages[-1]
    assert "tried again: OSError: &lt;disk&gt;" in shell.pages[-1]
    assert capsys.readouterr() == ("", "")


@pytest.mark.spec("WAT-10")
def test_progress_is_shown_where_somebody_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen(progress: Progress) -> type | None:
        with shown_progress(progress) as display:
            return type(display._screen) if isinstance(display, ProgressDisplay) else None

    assert [chosen(progress) for progress in ("auto", True, False)] == [None, Lines, None]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert [chosen(progress) for progress in ("auto", True, False)] == [Terminal, Terminal, None]
    Shell(monkeypatch)
    assert [chosen(progress) for progress in ("auto", True, False)] == [Notebook, Notebook, None]
