"""The row of damaged input files: readers and loaders fed with mutations, under limits.

Batches run in processes of their own with little memory and a watchdog; one that dies or hangs
is a finding, is put down to the input it was at, and the next begins after it.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tests import loaded
from tests.chaos.input_cases import CASES, PIECES, Case
from tests.chaos.table import Row, peak_bytes
from tests.loaded import ROOT

BATCH = 500
HANG_S = 2.0
MEMORY_BYTES = 1 << 30
PROCESSES = 2


@dataclass
class Tally:
    """What became of the inputs of one case."""

    inputs: int = 0
    taken: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    findings: int = 0


def damaged_inputs(
    scratch: Path, inputs: int = 20_000, names: tuple[str, ...] = tuple(CASES)
) -> Row:
    """Mutate every kind of input file, evenly, `inputs` times in all."""
    row = Row("damaged input files", f"{inputs} mutations of {len(names)} kinds")
    each = -(-inputs // len(names))
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = pool.map(lambda name: _case(scratch, name, each), names)
        tallies = dict(zip(names, found, strict=True))
    everything = list(tallies.values())
    row.at_least("inputs", sum(tally.inputs for tally in everything), inputs)
    row.equal("ended otherwise than by a value or one line", sum(t.findings for t in everything), 0)
    row.at_most("slowest, s of processor time", max(t.slowest_s for t in everything), HANG_S)
    peak = max(t.peak_bytes for t in everything)
    row.at_most("largest process, bytes", peak, MEMORY_BYTES)
    refused = sum(t.refused for t in everything)
    row.at_least("share refused, %", 100 * refused / max(1, sum(t.inputs for t in everything)), 10)
    (scratch / "tallies.json").write_text(
        json.dumps({name: vars(tally) for name, tally in tallies.items()}, indent=1)
    )
    return row


def _case(scratch: Path, name: str, count: int) -> Tally:
    tally = Tally()
    folder = scratch / name
    folder.mkdir(parents=True)
    start = 0
    while start < count:
        stop = min(count, start + BATCH)
        progress = folder / "progress"
        progress.write_text("-1")
        ended = loaded.run(
            ["-m", "tests.chaos.inputs", name, str(start), str(stop), folder],
            folder=ROOT,
            timeout=20 * HANG_S * BATCH,
        )
        for line in ended.stdout.splitlines():
            _add(tally, json.loads(line), folder)
        reached = int(progress.read_text())
        if reached < 0:
            raise AssertionError(f"{name}: the sound file is not read: {ended.stderr[-2000:]}")
        if ended.returncode != 0:
            tally.findings += 1
            _keep(folder, reached, f"process ended with {ended.returncode}: {ended.stderr[-2000:]}")
            tally.inputs += 1
            reached += 1
        start = reached
    return tally


def _add(tally: Tally, said: dict[str, Any], folder: Path) -> None:
    if "finding" in said:
        tally.findings += 1
        _keep(folder, said["seed"], said["finding"])
        return
    tally.inputs += said["inputs"]
    tally.taken += said["taken"]
    tally.refused += said["refused"]
    tally.slowest_s = max(tally.slowest_s, said["slowest_s"])
    tally.peak_bytes = max(tally.peak_bytes, said["peak_bytes"])


def _keep(folder: Path, seed: int, text: str) -> None:
    with (folder / "findings.txt").open("a", encoding="utf-8") as handle:
        handle.write(f"seed {seed}: {text}\n")


def mutations(data: bytes, seed: int) -> bytes:
    """Damage some bytes of `data`: cut, repeat, replace, insert, swap, or change numbers."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 5)):
        size = len(data)
        at, span = rng.randrange(size + 1), rng.choice((1, 1, 2, 4, 9, 40, size // 3))
        kind = rng.randrange(7)
        piece = rng.choice(PIECES) if rng.random() < 0.7 else rng.randbytes(rng.randint(1, 8))
        if kind == 0:
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == 1:
            data = data[:at] + piece + data[at:]
        elif kind == 2:
            data = data[:at] + data[at + span :]
        elif kind == 3:
            data = data[:at] if rng.random() < 0.3 else data
        elif kind == 4:
            data = data[: at + span] + data[at : at + span] * rng.choice((1, 2, 50)) + data[at:]
        elif kind == 5 and data:
            bit = rng.randrange(len(data) * 8)
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            data = bytes(changed)
        else:
            data = _change_number(data, rng)
    return data


def _change_number(data: bytes, rng: random.Random) -> bytes:
    """Replace one number that is written in the text by an unlikely one."""
    places = [i for i, sign in enumerate(data) if 48 <= sign <= 57]
    if not places:
        return data
    first = last = rng.choice(places)
    while first and data[first - 1 : first] in b"0123456789.-eE":
        first -= 1
    while last < len(data) and data[last : last + 1] in b"0123456789.-eE":
        last += 1
    number = rng.choice((b"0", b"-1", b"1e308", b"nan", b"inf", b"999999999", b"1e-320", b"2e9"))
    return data[:first] + number + data[last:]


def batch(name: str, start: int, stop: int, folder: Path) -> None:
    """Feed the mutations of some seeds to one case; print one JSON line per finding and in all."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        whole = case.make(Path(place))
        case.read(Path(place, case.filename))  # imports and first use are not the input's
        _limit_memory()
        tally, told = Tally(), ""
        for seed in range(start, stop):
            (folder / "progress").write_text(str(seed))
            told = _one(case, Path(place), mutations(whole, seed * 7919 + len(name)), tally)
            if told:
                sys.stdout.write(json.dumps({"finding": told, "seed": seed}) + "\n")
        (folder / "progress").write_text(str(stop))
    tally.peak_bytes = peak_bytes()
    sys.stdout.write(json.dumps(vars(tally)) + "\n")


def _one(case: Case, folder: Path, data: bytes, tally: Tally) -> str:
    """Feed one input; say what was wrong with the way it ended."""
    from distbragg.errors import DistbraggError

    path = folder / case.filename
    path.write_bytes(data)
    tally.inputs += 1
    started, problem = time.process_time(), ""
    try:
        with _Watchdog():
            case.read(path)
        tally.taken += 1
    except DistbraggError as error:
        tally.refused += 1
        problem = _line_problem(str(error))
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
    tally.slowest_s = max(tally.slowest_s, time.process_time() - started)
    return problem


def _line_problem(line: str) -> str:
    if not line.strip() or "\n" in line:
        return f"not one line: {line!r}"
    return "" if len(line) < 2000 else f"a line of {len(line)} characters"


class _Watchdog:
    """Raises after `HANG_S` of processor time; ends the process after ten times that."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGPROF, self._expire)
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        signal.setitimer(signal.ITIMER_REAL, 10 * HANG_S)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)

    @staticmethod
    def _expire(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {HANG_S} s of processor time")


def _limit_memory() -> None:
    """Allow this process so much private memory from here on."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    batch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
