"""Jobs of batch systems: the script of each kind, word by word where it matters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distbragg.clusters.jobs import job_script, lifetimes
from distbragg.errors import InputError
from distbragg.spec.cluster import QueueClusterSpec, read_cluster_file

SITES = Path(__file__).parents[3] / "cluster"

HEADERS = {
    "slurm": """#SBATCH -J distbragg
#SBATCH -e logs/distbragg-%J.err
#SBATCH -o logs/distbragg-%J.out
#SBATCH -p compute
#SBATCH -A my-project
#SBATCH -n 1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH -t 04:00:00
#SBATCH --constraint=avx512""",
    "pbs": """#PBS -N distbragg
#PBS -q workq
#PBS -A my-project
#PBS -l select=1:ncpus=8:mem=32GB
#PBS -l walltime=04:00:00
#PBS -e logs/
#PBS -o logs/
#PBS -l place=pack""",
    "lsf": """#BSUB -J distbragg
#BSUB -e logs/WORKER-%J.err
#BSUB -o logs/WORKER-%J.out
#BSUB -q normal
#BSUB -P "my-project"
#BSUB -n 8
#BSUB -R "span[hosts=1]"
#BSUB -M 34360
#BSUB -W 04:00""",
    "sge": """#$ -N distbragg
#$ -q all.q
#$ -P my-project
#$ -l h_rt=04:00:00
#$ -e logs/
#$ -o logs/
#$ -cwd
#$ -j y
#$ -pe smp 8
#$ -l h_vmem=4G""",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.spec("CLU-6")
@pytest.mark.parametrize("kind", sorted(HEADERS))
def test_the_script_of_a_shipped_site_asks_the_batch_system_for_what_the_file_says(kind: str):
    script = job_script(read_cluster_file(str(SITES / kind / "site.yaml"), kind))
    lines = script.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    mark = HEADERS[kind].split()[0]
    assert "\n".join(line for line in lines if line.startswith(mark)) == HEADERS[kind]


@pytest.mark.spec("CLU-2")
@pytest.mark.parametrize("kind", sorted(HEADERS))
def test_the_workers_of_a_job_are_one_thread_encrypted_and_end_before_the_walltime(kind: str):
    script = job_script(read_cluster_file(str(SITES / kind / "site.yaml"), kind))
    (command,) = [line for line in script.splitlines() if "dask_worker" in line]
    words = command.split()
    assert words[0] == sys.executable
    assert words[3] == "tls://SCHEDULER"

    def value(flag: str) -> str:
        return words[words.index(flag) + 1]

    assert value("--nthreads") == "1"
    assert value("--nworkers") == "8"
    assert value("--memory-limit") == "4.00GiB"
    assert value("--dashboard-address") == "127.0.0.1:0"
    assert "--no-dashboard" in words
    assert value("--protocol") == "tls://"
    assert "--nanny" in words
    for flag, name in [("ca-file", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")]:
        assert Path(value(f"--tls-{flag}")).name == name
    longest = float(value("--lifetime")[:-1]) + float(value("--lifetime-stagger")[:-1])
    assert 3.9 * 3600 <= longest <= 4 * 3600 - 300


@pytest.mark.spec("CLU-8")
def test_a_gpu_job_has_one_worker_and_one_device():
    spec = read_cluster_file(str(SITES / "slurm" / "gpu.yaml"))
    assert (spec.jobs, spec.processes_per_job) == (4, 1)
    script = job_script(spec)
    assert "#SBATCH --gres=gpu:1" in script
    assert "#SBATCH --cpus-per-task=8" in script
    assert "--resources GPU=1" in script
    assert "--nworkers" not in script


@pytest.mark.spec("CLU-4")
@pytest.mark.parametrize("walltime", [60.0, 600.0, 3600.0, 86400.0])
def test_the_longest_life_leaves_time_for_the_unit_in_hand(walltime: float):
    lifetime, stagger = lifetimes(walltime)
    assert lifetime - stagger > 0
    assert 15 <= walltime - (lifetime + stagger) <= 300


@pytest.mark.spec("CLU-6")
def test_fewer_workers_than_cores_ask_for_the_cores_all_the_same():
    for kind, line in [
        ("slurm", "#SBATCH --cpus-per-task=8"),
        ("pbs", "#PBS -l select=1:ncpus=8:mem=16GB"),
        ("lsf", "#BSUB -n 8"),
    ]:
        spec = QueueClusterSpec(kind=kind, cores=8, processes=3, memory="16GiB")
        script = job_script(spec)
        assert line in script
        assert "--nthreads 1" in script
        assert "--nworkers 3" in script


@pytest.mark.spec("CLU-1")
def test_a_scheduler_without_encryption_may_listen_on_this_machine_alone():
    plain = QueueClusterSpec(kind="slurm", cores=1, memory="1GB", tls="none")
    with pytest.raises(InputError, match="without encryption"):
        job_script(plain)
    script = job_script(plain.model_copy(update={"scheduler_host": "127.0.0.1"}))
    assert "--host 127.0.0.1" in script
    assert "tls" not in script


def test_an_option_that_the_batch_system_lacks_is_named():
    spec = QueueClusterSpec(kind="pbs", cores=1, memory="1GB", options={"lsf_units": "mb"})
    with pytest.raises(InputError, match=r"cluster file: options: .*lsf_units"):
        job_script(spec)


KEPT_INTERRUPTS = """
import signal, sys
from pathlib import Path
from distbragg.clusters.jobs import job_script
from distbragg.spec.cluster import read_cluster_file
before = signal.getsignal(signal.SIGINT)
job_script(read_cluster_file(Path(sys.argv[1])))
assert "dask_jobqueue.runner" in sys.modules
assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler
"""


@pytest.mark.spec("CLU-10")
def test_ctrl_c_stays_what_it_was_where_dask_jobqueue_is_imported() -> None:
    site = SITES / "slurm" / "site.yaml"
    done = subprocess.run(
        [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)\n"
         + KEPT_INTERRUPTS, str(site)],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
