"""The bars of a GPU beside what was measured, as text and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.bench.gpu import Measured
from tools.bench.gpu_scenes import BRIGHT_BAR, OF_MAXIMUM_BAR, TOTAL_BAR

RATE_BAR: Final = 2e11
"""Steps per second of the fused kernel."""

PEAK_BAR: Final = 0.35
"""Share of the measured float32 peak, counting 100 operations a step."""

FRAME_BAR_S: Final = 0.4
"""A frame of `exafel` with photon noise, from resolved experiment to pixels on the host."""

_JUDGED: Final = ("H100", "H200", "GH200")
_DPI: Final = 110


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    found: str
    bar: str
    verdict: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The four columns."""
        return self.what, self.found, self.bar, self.verdict


def rows(measured: Measured) -> list[Row]:
    """Judge what was measured; a part that is missing is `not measured`."""
    return [
        *_speed_rows(measured),
        *_noise_rows(measured),
        *_accuracy_rows(measured),
        *_sweep_rows(measured),
        *_memory_rows(measured),
    ]


def _judged(measured: Measured) -> bool:
    card = str(measured.parts.get("card", {}).get("card", ""))
    return any(name in card for name in _JUDGED)


def _verdict(held: bool, *, judged: bool = True) -> str:
    if not judged:
        return "no bar for this card"
    return "held" if held else "missed"


def _speed_rows(measured: Measured) -> list[Row]:
    bars = f"≥ {RATE_BAR:.0e} steps/s", f"≥ {PEAK_BAR:.0%}"
    if "speed" not in measured.parts:
        return [Row("kernel", "", bar, "not measured") for bar in bars]
    found = []
    judged = _judged(measured)
    for timing in measured.parts["speed"]:
        # The bars are for the way of indexing that suits the card, as a run takes it.
        ours = judged and timing["indices"] == "wide"
        name = f"{timing['workload']}, {timing['indices']}"
        rate, share = timing["steps_per_s"], timing["peak_fraction"]
        other = "" if ours or not judged else "no bar for this way"
        found += [
            Row(
                f"{name}: kernel", f"{rate:.3e} steps/s", bars[0],
                other or _verdict(rate >= RATE_BAR, judged=judged),
            ),
            Row(
                f"{name}: share of the float32 peak",
                f"{share:.1%} of {timing['peak_operations_per_s']:.3e} operations/s", bars[1],
                other or _verdict(share >= PEAK_BAR, judged=judged),
            ),
        ]  # fmt: skip
    return found


def _noise_rows(measured: Measured) -> list[Row]:
    what, bar = "a frame with photon noise, all on the device", f"≤ {FRAME_BAR_S:g} s"
    timing = measured.parts.get("noise")
    if timing is None:
        return [Row(what, "", bar, "not measured")]
    seconds = timing["frame_seconds"]
    found = f"{seconds:.4f} s, of it {timing['seconds']:.4f} s in the kernel"
    verdict = _verdict(seconds <= FRAME_BAR_S, judged=_judged(measured))
    return [Row(f"{timing['workload']}: {what}", found, bar, verdict)]


def _accuracy_rows(measured: Measured) -> list[Row]:
    bars = {"bright": BRIGHT_BAR, "of_maximum": OF_MAXIMUM_BAR, "total": TOTAL_BAR}
    names = {
        "bright": "accuracy, bright pixels",
        "of_maximum": "accuracy, share of the maximum",
        "total": "accuracy, total",
    }
    found = measured.parts.get("accuracy")
    if not found:
        return [Row(names[key], "", f"≤ {bar:g}", "not measured") for key, bar in bars.items()]
    lines = []
    for key, bar in bars.items():
        worst = max(found, key=lambda item: item[key] if item[key] == item[key] else float("inf"))
        where = f"{worst['scene']}, {worst['precision']}, {worst['indices']}"
        text = f"at most {worst[key]:.2e} ({where}) of {len(found)} images"
        lines.append(Row(names[key], text, f"≤ {bar:g}", _verdict(worst[key] <= bar)))
    return lines


def _sweep_rows(measured: Measured) -> list[Row]:
    found = measured.parts.get("sweep")
    if found is None:
        return [Row("sweep on one GPU worker", "", "CPU and GPU agree", "not measured")]
    against = "sweep on one GPU worker against the CPU"
    bars = f"{BRIGHT_BAR:g}, {OF_MAXIMUM_BAR:g}, {TOTAL_BAR:g}"
    compared = found["compared"]
    row = Row(against, "", bars, "not measured")
    if compared is not None:
        text = (
            f"bright {compared['bright']:.2e}, of maximum {compared['of_maximum']:.2e}, total "
            f"{compared['total']:.2e}"
        )
        row = Row(against, text, bars, _verdict(found["held"]))
    rate = found["steady"] / found["seconds"]
    return [
        row,
        Row(
            "sweep: share of the card's time in the kernel",
            f"{found['kernel_share']:.1%}, {rate:.2f} frames/s, stored",
            "",
            "",
        ),
        Row(
            "sweep: one unit in the kernel while another is written",
            f"{found['at_once']:.2f} times the time that passed went into both",
            "> 1 shows it",
            "held" if found["at_once"] > 1.0 else "not shown",
        ),
    ]


def _memory_rows(measured: Measured) -> list[Row]:
    what, bar = "batches shrunk after an out-of-memory", "the same bits"
    found = measured.parts.get("memory")
    if found is None or not found["limited"]:
        return [Row(what, "", bar, "not measured")]
    times = len(found["shrunk"])
    return [Row(what, f"{times} times", bar, _verdict(found["same_bits"] and times > 0))]


def text(measured: Measured, table: str) -> str:
    """Write the summary around the table of `rows`."""
    card = measured.parts.get("card", {})
    facts = ", ".join(
        f"{name} {card[name]}" for name in ("capability", "torch", "cuda", "triton") if name in card
    )
    lines = [f"# The fused kernel on {card.get('card', 'an unknown card')}", "", facts, "", table]
    if "forms" in measured.parts:
        lines += ["", "Programs of other sizes, the first one being the usual:"]
        lines += [
            f"- {form['pixels']} pixels, {form['warps']} warps, {form['registers'] or 'free'} "
            f"registers: {form['steps_per_s']:.3e} steps/s"
            + ("" if form["same_bits"] else ", OTHER BITS")
            for form in measured.parts["forms"]
        ]
    if measured.failed:
        lines += ["", "Not measured:"]
        lines += [f"- {name}: {reason}" for name, reason in measured.failed.items()]
    total = sum(measured.seconds.values())
    lines += ["", f"All parts together took {total:.0f} s. Details: results.json."]
    return "\n".join(lines)


def draw(path: Path, measured: Measured) -> None:
    """Draw throughput and share of the peak against their bars, and where a frame's time goes."""
    speeds: Sequence[dict[str, Any]] = measured.parts.get("speed", [])
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    rate, share, frame = figure.subplots(1, 3)
    places = list(range(len(speeds)))
    names = [f"{timing['workload']}\n{timing['indices']}" for timing in speeds]
    rate.barh(places, [timing["steps_per_s"] / 1e9 for timing in speeds], color="#4c72b0")
    rate.axvline(RATE_BAR / 1e9, color="0.2", linestyle="--", label=f"bar, {RATE_BAR / 1e9:g}")
    rate.set_xlabel("10⁹ steps/s, time in the kernel")
    share.barh(places, [100.0 * timing["peak_fraction"] for timing in speeds], color="#55a868")
    share.axvline(100.0 * PEAK_BAR, color="0.2", linestyle="--", label=f"bar, {PEAK_BAR:.0%}")
    share.set_xlabel("% of the measured float32 peak")
    for axes in (rate, share):
        axes.set_yticks(places, names if axes is rate else [""] * len(names))
        axes.invert_yaxis()
    frames = [*speeds[::2], *([measured.parts["noise"]] if "noise" in measured.parts else [])]
    labels = [timing["workload"] for timing in speeds[::2]]
    labels += ["with noise"] * (len(frames) - len(labels))
    spots = list(range(len(frames)))
    kernel = [timing["seconds"] for timing in frames]
    rest = [timing["frame_seconds"] - timing["seconds"] for timing in frames]
    frame.barh(spots, kernel, color="#4c72b0", label="kernel")
    frame.barh(spots, rest, left=kernel, color="#dd8452", label="finishing, noise, copy")
    frame.axvline(FRAME_BAR_S, color="0.2", linestyle="--", label=f"bar with noise, {FRAME_BAR_S}")
    frame.set_yticks(spots, labels)
    frame.invert_yaxis()
    frame.set_xlabel("s a frame")
    for axes in (rate, share, frame):
        axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
