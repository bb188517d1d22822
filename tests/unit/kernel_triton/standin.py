"""Triton's compiling launcher without a card: all happens as on an H100 but the launch itself.

Run in a process of its own, where TRITON_INTERPRET is not set. Arguments are bound, typed,
specialised and compiled to machine code by Triton; a launch is written down, and carried out from
the PTX where that is asked for.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import torch
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from tests.unit.kernel_triton.ptx import Program

launches = []
"""What was launched: name, grid, arguments as (type for the launcher, what was given)."""
execute = False
"""Whether launches are carried out."""


class _Utilities:
    def get_device_properties(self, device):
        return {"max_shared_mem": 232_448, "multiprocessor_count": 132}

    def load_binary(self, name, kernel, shared, device):
        assert kernel[:4] == b"\x7fELF"
        return None, _loaded.get("program"), 0, 0, 1024


class _Launcher:
    def __init__(self, source, metadata):
        self.types = dict(source.signature)
        self.shared = metadata.shared
        self.scratch = metadata.global_scratch_size
        self.name = metadata.name

    def __call__(self, x, y, z, stream, function, packed, details, enter, leave, *arguments):
        if execute:
            kinds = self.types.values()
            function.run(
                (x, y, z),
                [a for a, kind in zip(arguments, kinds, strict=True) if kind != "constexpr"],
            )
        given = [
            str(item.dtype).removeprefix("torch.") if isinstance(item, torch.Tensor) else item
            for item in arguments
        ]
        launches.append(
            {
                "name": self.name,
                "grid": (x, y, z),
                "shared": self.shared,
                "scratch": self.scratch,
                "arguments": [
                    (kind, what)
                    for kind, what in zip(self.types.values(), given, strict=True)
                    if kind != "constexpr"
                ],
            }
        )


class Card:
    """Stands for an H100 in Triton's eyes."""

    utils = _Utilities()
    launcher_cls = _Launcher

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    capability = 90
    """Ten times the compute capability that is compiled for."""

    def get_current_target(self):
        return GPUTarget("cuda", self.capability, 32)


_loaded = {}


def install(*, carried_out=False):
    """Let Triton compile for the stand-in from here on; where asked for, launches are carried out.

    That is so of what is compiled then, as long as `execute` says so.
    """
    global execute
    driver.set_active(Card())
    execute = carried_out
    knobs.runtime.kernel_load_start_hook = _read_program if carried_out else None


def _read_program(module, function, name, files, digest):
    (path,) = (path for file, path in files.items() if file.endswith(".ptx"))
    _loaded["program"] = Program(Path(path).read_text())


def compiled(function):
    """Kernels that were compiled of a device function so far."""
    return list(function.device_caches[0][0].values())


def resources(kernel, folder):
    """Registers of a thread, and bytes that it keeps in memory for want of more."""
    path = Path(folder) / "kernel.cubin"
    path.write_bytes(kernel.asm["cubin"])
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    usage = _output(tools / "cuobjdump", "-res-usage", path)
    found = dict(re.findall(r"\b(REG|LOCAL):(\d+)", usage))
    # A few bytes of STACK belong to the calls of divisions and roots; spills are stores to it.
    stores = len(re.findall(r"\bSTL\b", _output(tools / "nvdisasm", "-c", path)))
    return int(found["REG"]), 4 * stores + int(found["LOCAL"])


def _output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def parameters(kernel):
    """Types that the launcher packs, and those of the parameters in PTX but Triton's own two."""
    head = re.search(r"\.entry \w+\((.*?)\)", kernel.asm["ptx"], re.DOTALL)[1]
    found = [re.match(r"\s*\.param \.(\w+)", line)[1] for line in head.strip().splitlines()]
    packed = [kind for kind in kernel.src.signature.values() if kind != "constexpr"]
    return packed, found[: len(packed)]
