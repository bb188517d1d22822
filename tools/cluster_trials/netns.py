"""A sweep over three hosts: scheduler and two workers, far apart, lossy, and parted for a while."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from tools.cluster_trials.trial import FailedError, Trial, wait_until
from tools.cluster_trials.wire import Host, Wire, hosts

DELAY_S: Final = 0.05
LOSS: Final = 0.01
PARTITION_S: Final = 30.0
PATIENCE_S: Final = 1200.0

PROBE: Final = """
import socket, sys, time
host, port = sys.argv[1], int(sys.argv[2])
best = 1e9
for _ in range(5):
    started = time.perf_counter()
    socket.create_connection((host, port), timeout=10).close()
    best = min(best, time.perf_counter() - started)
print(best)
"""
"""Shortest of five TCP handshakes, s: one round trip."""

PLAIN: Final = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    link = socket.create_connection((host, int(port)), timeout=10)
    link.settimeout(2)
    try:
        if link.recv(1):
            print(place)
    except OSError:
        pass
"""
"""Ports that speak before they are spoken to in TLS, as Dask's plain ports do."""


def run(trial: Trial) -> None:
    """Run the whole trial.

    Raises
    ------
    SkippedError
        Namespaces or TAP devices cannot be used here.
    FailedError
    """
    names = ("scheduler", "a", "b")
    with hosts(trial.folder, names, delay_s=DELAY_S, loss=LOSS) as (made, wire):
        sweep = trial.write_sweep("sweep.yaml", trial.units, trial.calibrate())
        trial.say(f"serial reference of {trial.units} units")
        expected = trial.reference(sweep, "serial.zarr")
        for name, parted in (("far.zarr", False), ("parted.zarr", True)):
            far_sweep(trial, made, wire, name, parted=parted, expected=expected)


def far_sweep(
    trial: Trial,
    made: Sequence[Host],
    wire: Wire,
    name: str,
    *,
    parted: bool,
    expected: dict[int, str],
) -> None:
    """Sweep over the wire, with one worker parted from the others for a while or not."""
    what = f"{1e3 * DELAY_S:g} ms each way, {100 * LOSS:g} % loss"
    what += f", one worker parted for {PARTITION_S:g} s" if parted else ""
    before = (wire.passed, wire.lost)
    with cluster(trial, made, name) as workers:
        started = time.monotonic()
        driver = start(trial, made[0], name, *sweep_command(name))
        try:
            figures: dict[str, object] = {}
            wait_until(lambda: trial.done(name) >= 5, PATIENCE_S, "the first units")
            if parted:
                figures |= part(trial, wire, name)
            else:
                figures |= look_around(trial, made)
            status = driver.wait(timeout=PATIENCE_S)
        finally:
            stop(driver)
        seconds = time.monotonic() - started
        alive = sum(worker.poll() is None for worker in workers)
    same = trial.digests(name) == expected
    figures |= {
        "units": len(expected),
        "seconds": f"{seconds:.0f}",
        "rendered twice": trial.rendered(name) - len(expected),
        "workers at the end": alive,
        "frames on the wire": wire.passed - before[0],
        "lost": wire.lost - before[1],
        "bytes": "same" if same else "DIFFER",
    }
    trial.record(what, figures, same and status == 0)
    if not (same and status == 0):
        raise FailedError(f"{name} ended with status {status}, bytes {figures['bytes']}")


def part(trial: Trial, wire: Wire, name: str) -> dict[str, object]:
    """Part the second worker from the others for a while; the rest must go on."""
    before, refused = trial.done(name), wire.refused
    wire.cut.add(2)
    time.sleep(PARTITION_S)
    wire.cut.clear()
    return {
        "units done meanwhile": trial.done(name) - before,
        "frames cut off": wire.refused - refused,
    }


def look_around(trial: Trial, made: Sequence[Host]) -> dict[str, object]:
    """Measure a round trip, and try every port that is open beyond the loopback interface."""
    open_ports = [place for host in made for place in listening(host)]
    host, _, port = listening(made[0])[0].rpartition(":")
    python = sys.executable
    trip = float(trial.run(*made[1].command(python, "-c", PROBE, host, port)))
    plain = [
        place
        for far, host in ((made[1], made[0]), (made[0], made[1]), (made[0], made[2]))
        for place in trial.run(*far.command(python, "-c", PLAIN, *listening(host))).split()
    ]
    if plain:
        raise FailedError(f"plain ports beyond the loopback interface: {plain}")
    return {
        "round trip": f"{1e3 * trip:.0f} ms",
        "ports open beyond loopback": len(open_ports),
        "of them plain": len(plain),
    }


def listening(host: Host) -> list[str]:
    """List what is open beyond the loopback interface of a host, as `address:port`."""
    text = subprocess.run(
        host.command("ss", "-Htln"), capture_output=True, text=True, check=True
    ).stdout
    places = [line.split()[3] for line in text.splitlines()]
    ports = {
        place.rpartition(":")[2] for place in places if not place.startswith(("127.", "[::1]"))
    }
    return [f"{host.address}:{port}" for port in sorted(ports)]


@contextmanager
def cluster(
    trial: Trial, made: Sequence[Host], name: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start an encrypted scheduler and two workers, each on its host; yield the workers."""
    folder = trial.folder / f"cluster-{name}"
    trial.run("distbragg", "cluster", "certificates", str(folder))
    tls = [
        *("--protocol", "tls", "--tls-ca-file", f"{folder}/ca.pem"),
        *("--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem"),
    ]
    common = [*tls, "--scheduler-file", f"{folder}/scheduler.json"]
    common += ["--dashboard-address", "127.0.0.1:0"]
    (folder / "cluster.yaml").write_text(
        "kind: scheduler-file\nscheduler_file: scheduler.json\n"
        "tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem}\n"
    )
    with ExitStack() as stack:

        def launch(host: Host, label: str, *words: str) -> subprocess.Popen[bytes]:
            process = start(trial, host, f"{label}-{name}", "dask", *words, *common)
            stack.callback(stop, process)
            return process

        launch(made[0], "scheduler", "scheduler", "--host", made[0].address, "--port", "0")
        wait_until((folder / "scheduler.json").exists, 60, "the scheduler")
        yield [
            launch(
                *(host, f"worker-{host.address}", "worker", "--host", host.address),
                *("--nworkers", "1", "--nthreads", "1", "--local-directory", str(host.folder)),
                *("--preload", "distbragg.clusters.tuning", "--death-timeout", "120"),
            )
            for host in made[1:]
        ]


def sweep_command(name: str) -> tuple[str, ...]:
    """Return the sweep as a user types it."""
    return (
        *("distbragg", "sweep", "sweep.yaml", "-o", name),
        *("--cluster", f"cluster-{name}/cluster.yaml"),
    )


def start(trial: Trial, host: Host, label: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a command on a host, with temporary files of its own."""
    environ = trial.environ(
        TMPDIR=str(host.folder), DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0"
    )
    with (trial.folder / f"{label}.log").open("wb") as log:
        return subprocess.Popen(
            host.command(*words), cwd=trial.folder, env=environ, stdout=log, stderr=log
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here."""
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
