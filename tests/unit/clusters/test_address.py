"""Which addresses may be spoken to: a list of what is safe, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distbragg.clusters.address import check_address, is_loopback, parse_cluster
from distbragg.errors import InputError
from distbragg.spec.cluster import AddressClusterSpec, LocalClusterSpec


def check(address: str, *, tls: bool = False, allow_plaintext: bool = False) -> str:
    return check_address(address, source="here", tls=tls, allow_plaintext=allow_plaintext)


@pytest.mark.spec("CLU-1")
@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("tcp://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("TCP://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://localhost:8786", "tcp://localhost:8786"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("ws://127.0.0.1:8786/path", "ws://127.0.0.1:8786/path"),
        ("inproc://10.0.0.1/2/3", "inproc://10.0.0.1/2/3"),
    ],
)
def test_what_stays_on_this_machine_is_let_through(given: str, read: str) -> None:
    assert check(given) == read


@pytest.mark.spec("CLU-1")
@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.1:8786",
        "TCP://10.0.0.1:8786",
        "10.0.0.1:8786",
        "ws://10.0.0.1:8786",
        "ucx://127.0.0.1:8786",
        "UCX://10.0.0.1:8786",
        "gateway://10.0.0.1:8786",
        "https://10.0.0.1/clusters/x",
        "tcp://0.0.0.0:8786",
        "tcp://:8786",
        "tcp://",
        "tcp://[::]:8786",
        "tcp://2130706433.example.invalid:8786",
        "://127.0.0.1:8786",
        "",
    ],
)
def test_all_else_is_refused_in_one_line_unless_it_is_allowed_by_name(address: str) -> None:
    with pytest.raises(InputError) as caught:
        check(address)
    assert "\n" not in str(caught.value)
    assert check(address, allow_plaintext=True)


@pytest.mark.parametrize("scheme", ["tls", "TLS", "wss"])
def test_an_encrypted_address_needs_certificates(scheme: str) -> None:
    with pytest.raises(InputError, match="asks for certificates"):
        check(f"{scheme}://10.0.0.1:8786")
    assert check(f"{scheme}://10.0.0.1:8786", tls=True) == f"{scheme.lower()}://10.0.0.1:8786"
    with pytest.raises(InputError, match="not a tls:// address"):
        check("tcp://127.0.0.1:8786", tls=True, allow_plaintext=True)


def test_a_scheduler_file_without_a_scheme_is_looked_at_too(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": "10.0.0.1:8786"}))
    with pytest.raises(InputError, match="off this machine and not encrypted"):
        parse_cluster(str(path))
    assert parse_cluster(str(path), plain=True)


def test_plain_text_is_asked_for_by_name(tmp_path: Path) -> None:
    assert parse_cluster("local:2", plain=True) == LocalClusterSpec(workers=2, tls=False)
    allowed = parse_cluster("tcp://10.0.0.1:8786", plain=True)
    assert allowed == AddressClusterSpec(address="tcp://10.0.0.1:8786", allow_plaintext=True)
    site = tmp_path / "site.yaml"
    site.write_text("kind: slurm\ncores: 1\nmemory: 1GB\n")
    assert parse_cluster("slurm", str(site), plain=True).tls == "none"


def test_no_host_is_no_loopback() -> None:
    assert is_loopback("127.0.0.1")
    assert not is_loopback("")
    assert not is_loopback("0.0.0.0")


@pytest.mark.spec("CLU-1")
@pytest.mark.parametrize(
    ("given", "meant"), [("localx:2", "local:2"), ("loca", "local"), ("Local:8", "local:8")]
)
def test_a_slip_of_local_is_answered_with_what_is_meant(given: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"did you mean {meant}\?$"):
        parse_cluster(given)


@pytest.mark.spec("CLU-1")
def test_a_host_whose_name_is_near_is_an_address() -> None:
    assert parse_cluster("localhost:8786") == AddressClusterSpec(address="tcp://localhost:8786")
    with pytest.raises(InputError, match=r"tcp://local1\.invalid:8786 is off this machine"):
        parse_cluster("local1.invalid:8786")
