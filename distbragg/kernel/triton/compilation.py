"""Compiling the fused kernel for a card that need not be here, and what came of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from distbragg.errors import EnvironmentFailure

_CHOICES: Final[dict[str, Any]] = {
    "SHAPE": 0,
    "AXES": 7,
    "REAL": "fp32",
    "SPLIT": False,
    "LONG": False,
    "INTERPOLATE": False,
    "NARROW": False,
    "SINGLE": True,
    "CURVED": False,
    "POINT": False,
    "SOLID_ANGLE": True,
    "CAPTURE": False,
    "POLARIZED": True,
    "CUT": False,
    "WITH_BACKGROUND": False,
    "ONE_WAY": True,
    "INSIDE": True,
    "BLOCK": 256,
}
"""A mosaic still of square spots: the compile-time choices of the commonest launch."""

_WARP_THREADS: Final = 64
"""Pixels of a program for each of its warps."""

PIPES: Final = {
    "float64": ("DADD", "DMUL", "DFMA", "DSETP"),
    "conversions and reciprocals": ("F2F", "F2I", "I2F", "MUFU"),
    "float32": ("FADD", "FMUL", "FFMA", "IMAD"),
    "loads": ("LDG", "LDS", "LDL"),
    "logic": (
        "FMNMX", "FSEL", "FSETP", "I2FP", "IADD3", "ISETP", "LEA", "LOP3", "MOV", "PLOP3",
        "PRMT", "SEL", "SHF", "VIADD", "VIADDMNMX", "VIMNMX",
    ),
}  # fmt: skip
"""Machine instructions by the part of a multiprocessor that carries them out, as Hopper has them;
the first word of an instruction's name."""

PIPE_CYCLES: Final = {
    "float64": 2, "conversions and reciprocals": 8, "float32": 1, "loads": 4, "logic": 2,
}  # fmt: skip
"""Clock cycles for which an instruction of a warp occupies it, in a quarter of a multiprocessor."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler made.

    Attributes
    ----------
    registers : int
        Of one thread.
    spilled_bytes : int
        Local memory of one thread that register pressure forced, bytes.
    step_instructions : int
        Machine instructions of the innermost loop with arithmetic, for one thread and step.
    pipes : dict
        Of these, how many each of `PIPES` has to do.
    """

    registers: int
    spilled_bytes: int
    step_instructions: float
    pipes: dict[str, float]


def compile_kernel(capability: int, changes: Mapping[str, Any] | None = None) -> Compiled:
    """Compile the fused kernel for a compute capability and read its machine code.

    Parameters
    ----------
    capability : int
        Ten times the compute capability, 90 for an H100.
    changes : mapping, optional
        Compile-time choices that differ from a mosaic still of square spots.

    Raises
    ------
    EnvironmentFailure
        Triton interprets in this process.
    """
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if triton.knobs.runtime.interpret:
        raise EnvironmentFailure("Triton interprets here: unset TRITON_INTERPRET to compile")
    from distbragg.kernel.triton.device.fused import render_block
    from distbragg.kernel.triton.render import launch_form

    choices = {**_CHOICES, **(changes or {})}
    real, block = choices["REAL"], int(choices["BLOCK"])
    choices["REAL"] = tl.float64 if real == "fp64" else tl.float32
    types = _types(real, split=bool(choices["SPLIT"])) | dict.fromkeys(choices, "constexpr")
    source = ASTSource(render_block, types, constexprs=choices)
    warps = max(1, block // _WARP_THREADS)
    built = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={
            "num_warps": warps,
            "maxnreg": launch_form(choices).registers,
            "enable_fp_fusion": False,
        },
    )
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    pixels_per_thread = block / (32 * warps)
    return _read(built.asm["cubin"], tools, pixels_per_thread)


def _types(real: str, *, split: bool) -> dict[str, str]:
    wholes = "count width slow_start fast_start source_start source_stop domains"
    return {
        "out": "*fp64",
        "positions": "*i32",
        **dict.fromkeys(wholes.split(), "i32"),
        "reals": "*fp64",
        "wholes": "*i32",
        "sources": "*fp64",
        "layers": "*fp64",
        "vectors": "*fp32" if split else "*fp64",
        "narrow_vectors": "*fp32",
        "table": f"*{real}",
        "amplitude": f"*{real}",
        "stol_table": "*fp64",
        "stol_amplitude": "*fp64",
    }


def _read(cubin: bytes, tools: Path, pixels_per_thread: float) -> Compiled:
    with TemporaryDirectory(prefix="distbragg-") as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        usage = _run([str(tools / "cuobjdump"), "-res-usage", str(path)])
        code = _run([str(tools / "nvdisasm"), "-c", str(path)])
    found = dict(re.findall(r"\b(REG|LOCAL):(\d+)", usage))
    # A few bytes of STACK belong to the calls of divisions and roots; spills are stores to it.
    spilled = 4 * len(re.findall(r"\bSTL\b", code)) + int(found["LOCAL"])
    body = _innermost(code)
    pipes = {
        name: sum(_operation(line) in operations for line in body) / pixels_per_thread
        for name, operations in PIPES.items()
    }
    return Compiled(int(found["REG"]), spilled, len(body) / pixels_per_thread, pipes)


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def _operation(line: str) -> str:
    """First word of an instruction's name, past a predicate."""
    words = line.split()
    return words[1 if words[0].startswith("@") else 0].partition(".")[0]


def _innermost(code: str) -> list[str]:
    """Return the instructions of the shortest loop that multiplies in earnest."""
    labels: dict[str, int] = {}
    lines: list[str] = []
    for text in code.splitlines():
        label = re.match(r"\s*\.(L_x_\d+):", text)
        if label:
            labels[label[1]] = len(lines)
        statement = re.search(r"/\*[0-9a-f]{4,}\*/\s+(.*?);", text)
        if statement:
            lines.append(statement[1])
    loops: list[list[str]] = []
    for place, line in enumerate(lines):
        jump = re.search(r"BRA.*?`\(\.(L_x_\d+)\)", line)
        start = labels.get(jump[1], place + 1) if jump else place + 1
        body = lines[start : place + 1]
        if sum("FMUL" in item or "DMUL" in item or "FFMA" in item for item in body) > 20:
            loops.append(body)
    return min(loops, key=len, default=[])
