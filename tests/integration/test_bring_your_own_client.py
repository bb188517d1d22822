"""A client or cluster that the caller made: used as it is, and left as it was."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

import distbragg as db
from distbragg.engine.events import RunStarted, UnitFinished
from distbragg.errors import EnvironmentFailure, ExitStatus, InputError
from distbragg.spec.canonical import to_plain

from . import fake_queue
from .conftest import digests_of, tiny_sweep

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module", params=["tcp", "tls", "inproc"])
def cluster(request) -> Iterator[LocalCluster]:
    """The three that come out of `LocalCluster`: plain, with certificates in memory, in-process."""
    options = {"security": True} if request.param == "tls" else {}
    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=request.param != "inproc",
        dashboard_address="127.0.0.1:0",
        **options,
    ) as made:
        assert made.scheduler_address.startswith(request.param)
        yield made


@pytest.fixture(scope="module")
def client(cluster) -> Iterator[Client]:
    with Client(cluster, set_as_default=False) as made:
        yield made


def runs_seen(client: Client) -> set[str]:
    def spans(dask_scheduler):
        return [span.name for span in dask_scheduler.extensions["spans"].spans.values()]

    names = client.run_on_scheduler(spans)
    return {name[1] for name in names if len(name) == 2 and name[0] == "distbragg"}


@pytest.mark.spec("CLU-9")
def test_a_client_and_a_cluster_object_take_every_step_of_a_run(
    client, cluster, finished, tmp_path
):
    run = db.create(tiny_sweep(), tmp_path / "A")
    assert db.resume(run, client=client).status is ExitStatus.DONE
    assert digests_of(run.path) == digests_of(finished)
    assert run.run_id[:12] in runs_seen(client)
    for number, named in enumerate(({"client": cluster}, {"cluster": client})):
        result = db.sweep(tiny_sweep(), tmp_path / f"B{number}", **named)
        assert result.status is ExitStatus.DONE
        assert digests_of(tmp_path / f"B{number}") == digests_of(finished)
    assert client.status == "running"
    assert client.submit(abs, -1).result() == 1


def test_repair_and_export_take_a_client_too(client, finished, tmp_path):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    db.resume(run, client=client)
    shard = next(path for path in sorted(run.path.glob("images/c/**/*")) if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-7])
    assert db.repair(run, client=client).repaired
    assert db.verify(run).sound
    assert digests_of(run.path) == digests_of(finished)
    written = db.export_run(run, "smv", out=tmp_path / "files", client=client)
    assert written.status is ExitStatus.DONE


@pytest.mark.spec("CLU-9")
@pytest.mark.parametrize("oversample", [1, 40])
def test_a_frame_is_rendered_on_the_workers_of_a_client(client, oversample):
    spec = tiny_sweep().frame_spec(0)
    sampling = spec.sampling.model_copy(update={"oversample": oversample})
    spec = spec.model_copy(update={"sampling": sampling})
    here, there = db.render(spec), db.render(spec, client=client)
    np.testing.assert_array_equal(there.images.values, here.images.values)
    assert there.images.dims == here.images.dims
    for name in ("distbragg_numeric_class", "distbragg_plan_hash", "distbragg_spec"):
        assert there.attrs[name] == here.attrs[name]


def test_lazy_frames_are_computed_by_the_client_they_are_given_to(client, finished):
    frames = db.render(tiny_sweep(), lazy=True, client=client)
    computed = client.compute(frames).result()
    np.testing.assert_array_equal(computed.values, db.open_stack(finished).images.values)


@pytest.mark.spec("CLU-9")
def test_an_active_client_is_used_and_said(client, tmp_path, caplog):
    run = db.create(tiny_sweep(), tmp_path / "A")
    with client.as_current():
        assert db.resume(run).status is ExitStatus.DONE
        assert run.run_id[:12] in runs_seen(client)
        said = f"using the active Dask client: {client.scheduler.address}"
        assert caplog.messages.count(said) == 1
        # Whoever asks for another place gets it.
        tasks = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
        db.resume(db.create(tiny_sweep(), tmp_path / "B"), cluster="serial")
        assert tasks == client.run_on_scheduler(
            lambda dask_scheduler: dask_scheduler.transition_counter
        )
    assert caplog.messages.count(said) == 1


def test_inside_a_task_the_active_client_is_left_alone(client, finished, tmp_path):
    def render_there(path: str) -> int:
        return db.sweep(tiny_sweep(), path).rendered

    assert client.submit(render_there, str(tmp_path / "A")).result(timeout=120) == 15
    assert digests_of(tmp_path / "A") == digests_of(finished)


def state_of_the_process() -> dict[str, object]:
    return {
        "levels": {name: logging.getLogger(name).level for name in ("distributed", "tornado")},
        "disabled": logging.root.manager.disable,
        "frozen": gc.get_freeze_count(),
        "signals": [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT)],
        "settings": {
            name: dask.config.get(name)
            for name in (
                "distributed.worker.profile.interval",
                "distributed.admin.tick.interval",
                "distributed.deploy.lost-worker-timeout",
            )
        },
    }


@pytest.mark.spec("CLU-10")
@pytest.mark.usefixtures("nothing_frozen")
def test_the_process_is_the_callers_while_a_run_lasts(client, tmp_path):
    before, seen = state_of_the_process(), []

    def look(event: object) -> None:
        if isinstance(event, UnitFinished | RunStarted):
            seen.append(state_of_the_process())

    db.resume(db.create(tiny_sweep(), tmp_path / "A"), client=client, on_event=look)
    if client.scheduler.address.startswith("tls"):
        # A cluster of distbragg's own is as encrypted.
        db.resume(db.create(tiny_sweep(), tmp_path / "B"), cluster="local:1", on_event=look)
    assert len(seen) > 10
    assert all(state == before for state in seen)
    assert state_of_the_process() == before


def test_what_cannot_be_used_is_said_in_one_line(client, tmp_path):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    with pytest.raises(InputError, match="both cluster and client"):
        db.resume(run, cluster="local:1", client=client)
    with pytest.raises(InputError, match="int is not a cluster"):
        db.resume(run, client=3)
    closed = Client(client.scheduler.address, security=client.security, set_as_default=False)
    closed.close()
    with pytest.raises(EnvironmentFailure, match="client is closed"):
        db.resume(run, client=closed)


def test_the_first_example_of_the_page_works_as_it_stands(finished, tmp_path):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "bring-your-own-client.md"
    example = page.read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "example.py").write_text(example)
    (tmp_path / "sweep.yaml").write_text(json.dumps(to_plain(tiny_sweep())))
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert digests_of(tmp_path / "RUN") == digests_of(finished)


@pytest.mark.parametrize("name", ["SLURMCluster", "PBSCluster"])
def test_a_cluster_of_dask_jobqueue_is_taken_as_it_is(name, finished, tmp_path, monkeypatch):
    import dask_jobqueue

    kind = {"SLURMCluster": "slurm", "PBSCluster": "pbs"}[name]
    fake_queue.install(tmp_path / "bin", kind)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared").mkdir(mode=0o700)
    made = getattr(dask_jobqueue, name)(
        cores=1,
        processes=1,
        memory="2GB",
        security=True,
        shared_temp_directory=str(tmp_path / "shared"),
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    )
    try:
        with made as cluster:
            cluster.scale(jobs=2)
            result = db.sweep(tiny_sweep(), tmp_path / "RUN", client=cluster)
            assert result.status is ExitStatus.DONE
            assert digests_of(tmp_path / "RUN") == digests_of(finished)
            assert cluster.status.name == "running"
    finally:
        for part in ("ca_file", "cert", "key"):
            getattr(made, f"_job_{part}").close()  # dask-jobqueue leaves that to the collector
