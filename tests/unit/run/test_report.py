"""The report page: whole, self-contained, safe, and drawn to scale."""

from __future__ import annotations

import re
import shutil
from base64 import b64decode
from html.parser import HTMLParser

import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.engine.progress import UnitSpan
from distbragg.run.report import MAX_ROWS, report_html, slowest_frames, throughput, timeline
from distbragg.run.status import status
from distbragg.store.layout import RECEIPTS_DIR, STATE_DIR
from distbragg.store.ledger import append_receipt, completed_units, record_failure, record_repair
from distbragg.store.run_directory import open_run

from .test_status import make_run

VOID = {"meta", "br", "img"}


class Balance(HTMLParser):
    """Collects tags and checks that each is closed by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("rendered") / "RUN")
    db.resume(run, cluster="serial", part=(1, 2))
    return run.path


@pytest.fixture(scope="module")
def whole(rendered):
    """The run, untouched, and its page."""
    run = open_run(rendered)
    return run, report_html(run)


@pytest.fixture
def run(rendered, tmp_path):
    return open_run(shutil.copytree(rendered, tmp_path / "RUN"))


@pytest.mark.spec("STK-18")
def test_page_tells_of_throughput_failures_worst_frames_and_provenance(run):
    record_failure(run, 1, 3, "worker <died> & was set aside")
    record_repair(run, 0, "changed", "its bytes have another digest")
    page = report_html(run)
    for text in (
        "frames / s",
        "worker &lt;died&gt; &amp; was set aside",
        "Brightest pixel",
        "Slowest",
        "its bytes have another digest",
        run.run_id,
        "crystal",
        "numpy",
    ):
        assert text in page, text
    assert "<died>" not in page


def test_page_splits_the_time_of_the_run_and_of_each_process(whole):
    _, page = whole
    for part in ("kernel", "rest of rendering", "encoding", "writing", "verifying"):
        assert re.search(rf"<td>of it (in the )?{part}</td><td>[\d.,]+ s, [\d.]+ %</td>", page), (
            part
        )
    shares = re.findall(r"<td>of it [^<]*</td><td>[\d.,]+ s, ([\d.]+) %</td>", page)
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.5)
    rendered = r"<td>rendered</td><td>[\d.]+ k?steps, [\d.]+ [kMG]?steps/s in the kernel"
    assert re.search(rendered, page)
    (process,) = re.findall(
        r"<tr><td>[^<]+ \d+</td>(.*?)</tr>", page.split("Processes")[1], re.DOTALL
    )[:1]
    split = [float(share) for share in re.findall(r"<td>([\d.]+) %", process)]
    assert len(split) == 4
    assert sum(split) == pytest.approx(100, abs=0.3)


@pytest.mark.spec("STK-18")
def test_page_is_well_formed_and_refers_to_nothing_outside(whole):
    page = parsed(whole[1])
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "script" not in page.tags
    assert page.tags.count("svg") == 2
    assert page.tags.count("rect") >= 3


@pytest.mark.spec("FIG-9")
def test_page_shows_a_contact_sheet_and_the_slowest_frames(whole):
    run, html = whole
    sheet, slowest = (
        b64decode(link.removeprefix("data:image/png;base64,")) for link in parsed(html).links
    )
    assert sheet.startswith(b"\x89PNG")
    assert slowest.startswith(b"\x89PNG")
    assert sheet != slowest
    timed = slowest_frames(completed_units(run).values())
    done = completed_units(run)
    assert {frame for _, frame, _, _ in timed} <= {
        frame for unit in done for frame in run.layout.unit_frames(unit)
    }
    assert [seconds for seconds, *_ in timed] == sorted((s for s, *_ in timed), reverse=True)
    row = next(line for line in html.splitlines() if f"<td>{timed[0][0]:.3g} s</td>" in line)
    assert f"<td>{timed[0][1]}</td>" in row


@pytest.mark.spec("FIG-9")
def test_page_of_frames_that_cannot_be_read_says_so(run):
    for unit in completed_units(run):
        run.object_path(unit).write_bytes(b"x" * run.object_path(unit).stat().st_size)
    page = parsed(html := report_html(run))
    assert page.links == []
    assert "The frames cannot be drawn" in html


def test_run_without_receipts_has_a_report(tmp_path):
    page = report_html(make_run(tmp_path / "NEW"))
    parsed(page)
    assert "Nothing is rendered yet" in page


def test_command_writes_the_page(run, tmp_path, capsys):
    out = tmp_path / "pages" / "report.html"
    assert main(["report", str(run.path), "-o", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["report", str(run.path), "-o", str(out), "--json"]) == 0


def span(unit, end, busy=1.0, pid=1, frames=1):
    record = {"time": end, "render_seconds": busy, "host": "a", "pid": pid, "frames": frames}
    return UnitSpan.of(unit, record)


def test_throughput_adds_up_to_the_frames():
    chart = throughput([span(i, 100.0 + i, frames=3) for i in range(37)])
    # 3 frames a second throughout: a flat figure of full height.
    assert chart.top == 3.0
    assert chart.heights == pytest.approx([1.0] * len(chart.heights))
    assert chart.axis.seconds == pytest.approx(37.0)


def test_timeline_stays_small_for_many_units_and_writers():
    drawn = timeline([span(i, 100.0 + i / 50, busy=0.5, pid=i % 50) for i in range(20000)])
    assert len(drawn["rows"]) == MAX_ROWS
    assert sum(len(bars) for _, bars in drawn["rows"]) <= 1000 * MAX_ROWS
    assert all(0 <= first <= last <= 1.0001 for _, bars in drawn["rows"] for first, last in bars)


def test_interruption_is_cut_out_and_marked():
    axis = timeline([span(i, 100.0 + i + (1e6 if i > 4 else 0)) for i in range(10)])["axis"]
    assert axis.cuts == pytest.approx([0.5])
    assert axis.seconds == pytest.approx(10.0)


def listed(page: str, heading: str) -> list[tuple[int, list[str]]]:
    """Frame and other cells of the rows below a heading of the report."""
    table = page.split(heading)[1].split("</table>")[0]
    rows = re.findall(r"<tr><td>(\d+)</td>(.*?)</tr>", table)
    return [(int(frame), re.findall(r"<td>(.*?)</td>", rest)) for frame, rest in rows]


@pytest.mark.spec("STK-18")
def test_worst_frames_are_named_by_index_and_values(whole):
    run, page = whole
    slowest, brightest = listed(page, "Slowest"), listed(page, "Brightest pixel")
    assert len(slowest) == len(brightest) == 6
    for frame, (phi, domains, *_) in (*slowest, *brightest):
        values = run.sweep.frame_values(frame)
        assert float(phi) == values["goniometer.phi_deg"]
        assert int(domains) == values["crystal.mosaic.domains"]
    for _, (*_, seconds, process) in slowest:
        assert float(seconds.removesuffix(" s")) > 0
        assert process.split()[-1].isdigit()
    images = db.open_stack(run.path)["images"].values.reshape(12, -1)
    for frame, (*_, photons) in brightest:
        assert float(photons) == pytest.approx(images[frame].max(), rel=1e-5)


def test_receipts_that_name_no_frame_leave_their_unit_to_be_named(run):
    known = [receipt.to_plain() for receipt in completed_units(run).values()]
    for entry in list(run.objects.entries(f"{STATE_DIR}/{RECEIPTS_DIR}/")):
        run.objects.delete(entry.key)
    for plain in known:
        del plain["brightest"]
        append_receipt(run, plain)
    assert "<td>0 to 1 (phi 0, domains 0 to 1)</td>" in report_html(run)


def test_report_and_status_count_in_the_same_words(whole):
    run, page = whole
    for name, value in status(run).count_rows():
        assert f"<td>{name}</td><td>{value}</td>" in page
