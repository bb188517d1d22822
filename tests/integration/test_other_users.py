"""Another user of the machine runs no code in a local cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from distbragg.clusters.open import open_client
from distbragg.spec.cluster import LocalClusterSpec

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

# What a user with a Dask of their own would do; modules are loaded while they can be read.
ATTACK = """
import os, sys
from distributed import Client
import distributed.comm.tcp, distributed.client
os.setgid(65534); os.setuid(65534)
try:
    client = Client(sys.argv[1], timeout=2, set_as_default=False)
except (OSError, ValueError):
    print("refused")
else:
    print("runs code as", client.run_on_scheduler(os.getuid))
os._exit(0)
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)
@pytest.mark.spec("CLU-1")
@pytest.mark.parametrize("tls", [True, False])
def test_another_user_runs_no_code_where_plain_text_was_not_asked_for(tls: bool) -> None:
    with open_client(LocalClusterSpec(workers=1, tls=tls)) as opened:
        port = opened.client.scheduler.address.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-u", "-c", ATTACK, f"tcp://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    # Against plain text the attack succeeds: it is a real one.
    expected = "refused" if tls else f"runs code as {os.geteuid()}"
    assert done.stdout.strip() == expected, done.stderr
