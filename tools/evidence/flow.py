"""The normalisation flow, step by step, each with the lines of code where it happens."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Final

from tools.evidence.anchors import Anchor

_WIDTH: Final = 98


@dataclass(frozen=True, slots=True)
class Step:
    """One step from the source table to the stored pixel.

    Attributes
    ----------
    title : str
    arithmetic : str
        What is computed.
    text : str
    count : str
        Whether the number of sources enters.
    anchors : tuple of Anchor
    """

    title: str
    arithmetic: str
    text: str
    count: str
    anchors: tuple[Anchor, ...]


_NO = "Does not enter."

FLOW: Final = (
    Step(
        "Read the table",
        "direction_s, λ_s, w_s for s = 1 … N",
        "A source file, or a spectrum times a divergence grid. Positions become unit vectors, "
        "wavelengths become Å. A missing weight is 1, a missing wavelength the nominal one. "
        "Comments and blank lines add no source.",
        "N is the length of the list.",
        (
            Anchor("read/sources.py", "read_sources", "rows.append(_parse_line("),
            Anchor("models/build_beam.py", "_build_sources", "table = read_sources("),
            Anchor("models/build_beam.py", "_build_sources", "towards = np.array("),
            Anchor("models/build_beam.py", "_build_sources", "return make_sources(towards"),
            Anchor("models/build_beam.py", "_build_sources", "return make_sources(*cross_product"),
        ),
    ),
    Step(
        "Refuse what is no weight",
        "w_s finite, w_s ≥ 0, some w_s > 0",
        "Negative, NaN and infinite weights are refused by file and line. A list of zeros is "
        "refused too: no light is not the same as even light.",
        _NO,
        (
            Anchor("models/sources.py", "_check_weights", "bad = np.flatnonzero("),
            Anchor("models/sources.py", "make_sources", "if not keep.any()"),
        ),
    ),
    Step(
        "Choose the rule",
        "sum (`physics: exact`), count (`physics: nanobragg`), none on request",
        "The one place where a default is chosen; `beam.weights` overrides it.",
        _NO,
        (Anchor("models/sources.py", "weight_rule", 'return "sum" if'),),
    ),
    Step(
        "Drop zero weights",
        "s with w_s = 0 leave the list under sum and none",
        "They would cost time and add 0. The number listed is kept as metadata.",
        _NO,
        (Anchor("models/sources.py", "make_sources", "keep = weight > 0.0"),),
    ),
    Step(
        "Scale by one power of two",
        "w_s ← w_s · 2^−e, largest w_s in [½, 1)",
        "Exact in floating point, so the unit of the weights cannot overflow, underflow or "
        "round anything. Numerator and divisor carry the same factor.",
        _NO,
        (
            Anchor("models/sources.py", "make_sources", "weight = _scale_by_power_of_two(weight)"),
            Anchor("models/sources.py", "_scale_by_power_of_two", "return np.ldexp("),
        ),
    ),
    Step(
        "Fix the divisor",
        "W = Σ_s w_s (sum), N (count), 1 (none)",
        "Once, from the whole list, by an exactly rounded sum. No later step computes it again.",
        "Under `count` alone: W = N and every w_s = 1.",
        (
            Anchor("models/sources.py", "make_sources", "total = math.fsum("),
            Anchor("models/sources.py", "make_sources", "total = float(listed)"),
            Anchor("models/sources.py", "make_sources", "total = 1.0"),
        ),
    ),
    Step(
        "Fix the fluence",
        "Φ as given, or flux · exposure / size²",
        "Φ is that of the whole beam; the weights only share it out.",
        _NO,
        (Anchor("models/build_beam.py", "resolve_fluence", "fluence = flux * exposure"),),
    ),
    Step(
        "Cut the list into chunks",
        "chunks c of consecutive sources; Σ w_s of the plan",
        "A function of the specification, not of the workers. The plan's Σ w_s serves the "
        "accounting of step 12, not the divisor.",
        "Decides how many chunks there are.",
        (
            Anchor("plan/frame.py", "plan_frame", "chunks = chunk_sources("),
            Anchor("plan/frame.py", "plan_frame", "weight_sum=math.fsum("),
        ),
    ),
    Step(
        "One sample of one source",
        "P_s C Ω [Σ_φ Σ_m F_cell² F_latt² + n_φ n_m M F_bg²], q = (d − i_s)/λ_s",
        "The source's own direction, wavelength and polarisation; layer and sub-pixel are those "
        "of the sample. Beyond dmin the Bragg sum is 0; the source is not taken off the list.",
        _NO,
        (
            Anchor("kernel/eager.py", "_sample_intensity", "x = (direction[0] -"),
            Anchor("kernel/eager.py", "_sample_intensity", "torch.where(cut"),
            Anchor("kernel/eager.py", "_sample_intensity", "background_intensity("),
            Anchor("kernel/eager.py", "_sample_intensity", "polarization_factor("),
            Anchor("kernel/reference.py", "_trace_sample", "value = (0.0 if cut else bragg)"),
        ),
    ),
    Step(
        "Sum over a chunk",
        "numerator_c = Σ_{s in c} w_s Σ_layer Σ_sub (step 9)",
        "The weight multiplies a finished sum of its source, in float64, in the order of the "
        "list. Nothing is divided here.",
        _NO,
        (
            Anchor("kernel/eager.py", "_render_block", "total += contribution * source.weight"),
            Anchor("kernel/native/src/samples.hpp", "", "void add_source(const Source"),
            Anchor("kernel/reference.py", "pixel_numerator", "total += contribution * float("),
        ),
    ),
    Step(
        "Merge the chunks",
        "numerator = Σ_c numerator_c, by a fixed tree in key order",
        "Un-normalised float64 sums are added; a chunk does not know W.",
        _NO,
        (
            Anchor("graph/partial.py", "merge", "numerator += part.numerator"),
            Anchor("graph/partial.py", "OrderedMerge"),
        ),
    ),
    Step(
        "Account for the parts",
        "set of chunks, number of steps and Σ w_s equal the plan's",
        "A lost or doubled chunk is an error, never a dim picture. Steps count as planned, "
        "those skipped by dmin included.",
        "In the number of steps, which is compared and never divides.",
        (
            Anchor("graph/partial.py", "check_complete", "partial.keys != expected"),
            Anchor("graph/partial.py", "check_counts", "terms != expected"),
            Anchor("graph/partial.py", "check_counts", "math.isclose(weight"),
        ),
    ),
    Step(
        "Divide once",
        "I = numerator · r_e² Φ / (n_φ n_m n_sub²) / W",
        "The only division. Sensor layers are not in it: their capture fractions add up to that "
        "of the sensor. Neither is the number of sources, unless W is that number.",
        "Through W under `count` alone.",
        (
            Anchor("kernel/finalize.py", "_photons", "photons = numerator * intensity_scale("),
            Anchor("kernel/scale.py", "intensity_scale", "steps = orientations *"),
            Anchor("kernel/scale.py", "intensity_scale", "return fluence / steps /"),
        ),
    ),
    Step(
        "The C program's pixel factors",
        "under physics: nanobragg, I = (B + numerator) · r_e² Φ / (n_φ n_m n_sub²) / W · P₁ C₁ Ω₁",
        "P₁ of the first sample that passes dmin, found from the whole source table and global "
        "pixel indices, so that no chunk has a first of its own. B is the program's start value.",
        "Through W, and through the start value, which is divided by it.",
        (
            Anchor("kernel/finalize.py", "_photons", "photons = (background_start("),
            Anchor("kernel/finalize.py", "_first_polarization"),
        ),
    ),
    Step(
        "Photon noise, if asked for",
        "counts ~ Poisson(I)",
        "After the division, from a generator keyed by seed, frame and pixel.",
        _NO,
        (Anchor("kernel/finalize.py", "_photons", "= draw_counts("),),
    ),
    Step(
        "Store",
        "float64 → output.dtype",
        "The one rounding to float32; what does not fit is refused.",
        _NO,
        (
            Anchor("graph/frame.py", "finish_tile", "finalize_into("),
            Anchor("store/write.py", "to_stored", "stored = np.ascontiguousarray(images"),
        ),
    ),
)


def flow_markdown(up: str | None = None) -> str:
    """Write the flow as numbered sections.

    Parameters
    ----------
    up : str, optional
        Leads from the page to the root of the source tree; places are then links. Without it
        they are plain text, for a bundle that may lie anywhere.
    """
    sections: list[str] = []
    for number, step in enumerate(FLOW, start=1):
        places = [_place(anchor, up) for anchor in step.anchors]
        sections.append(
            "\n".join(
                [
                    f"### {number}. {step.title}",
                    "",
                    f"    {step.arithmetic}",
                    "",
                    textwrap.fill(step.text, _WIDTH),
                    "",
                    textwrap.fill(f"Number of sources: {step.count}", _WIDTH),
                    "",
                    *(f"- {place}" for place in places),
                    "",
                ]
            )
        )
    return "\n".join(sections)


def _place(anchor: Anchor, up: str | None) -> str:
    where = anchor.link(up) if up is not None else f"`{anchor.text()}`"
    return f"{where}: `{anchor.code()}`"
