"""The report page: whole, self-contained, safe, and drawn to scale."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

import distbragg as db
from distbragg.cli.main import main
from distbragg.run.report import report_html
from distbragg.run.report_figures import MAX_ROWS, WIDTH, throughput_figure, timeline_figure
from distbragg.run.status_pace import work_of
from distbragg.store.ledger import record_failure
from distbragg.store.standing import record_repair

from .test_status import make_run
from .test_status_pace import receipt

VOID = {"meta", "line", "rect", "br"}


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
        if tag not in VOID or tag == "line":
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


@pytest.fixture
def run(tmp_path):
    run = make_run(tmp_path / "RUN")
    db.resume(run, cluster="serial", part=(1, 2))
    return run


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


def test_page_splits_the_time_of_the_run_and_of_each_process(run):
    page = report_html(run)
    for part in ("kernel", "rest of rendering", "encoding", "writing", "verifying"):
        assert re.search(rf"<td>of it (in the )?{part}</td><td>[\d.,]+ s, [\d.]+ %</td>", page), (
            part
        )
    shares = re.findall(r"<td>of it [^<]*</td><td>[\d.,]+ s, ([\d.]+) %</td>", page)
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.5)
    rendered = r"<td>rendered</td><td>[\d.]+ k?steps, [\d.]+ [kMG]?steps/s in the kernel"
    assert re.search(rendered, page)
    (process,) = re.findall(
        r"<tr><td>[^<]+ \d+</td>((?:<td>[^<]*</td>)+)</tr>", page.split("Processes")[1]
    )[:1]
    split = [float(share) for share in re.findall(r"([\d.]+) %", process)]
    assert len(split) == 4
    assert sum(split) == pytest.approx(100, abs=0.3)


@pytest.mark.spec("STK-18")
def test_page_is_well_formed_and_refers_to_nothing_outside(run):
    page = parsed(report_html(run))
    assert page.links == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 2
    assert page.tags.count("rect") >= 3


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


def test_throughput_adds_up_to_the_frames():
    works = work_of(receipt(i, 100.0 + i, busy=1.0) for i in range(37))
    figure = throughput_figure(works, lambda unit: 3)
    bars = re.findall(r'class="bar"[^>]*height="([\d.]+)"', figure)
    # 3 frames a second throughout: a flat figure of full height.
    assert {round(float(bar)) for bar in bars} == {200}


def test_timeline_stays_small_for_many_units_and_writers():
    works = work_of(receipt(i, 100.0 + i / 50, busy=0.5, pid=i % 50) for i in range(20000))
    figure = timeline_figure(works)
    assert figure.count('class="unit"') <= MAX_ROWS * WIDTH
    assert len(figure) < 4_000_000
    assert figure.count('text-anchor="end">a ') == MAX_ROWS


def test_interruption_is_cut_out_and_marked():
    works = work_of(receipt(i, 100.0 + i + (1e6 if i > 4 else 0)) for i in range(10))
    assert timeline_figure(works).count('class="cut"') == 1
