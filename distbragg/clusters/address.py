"""What `--cluster` may say, and which addresses may be spoken to: read without loading Dask.

Whoever reaches a scheduler's port can run code as its user, and a scheduler can run code in its
client. So plain text is spoken on this machine alone, or where the user asks for it by name.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import socket
from pathlib import Path
from typing import Final

from distbragg.errors import InputError, unreadable
from distbragg.spec.cluster import (
    MODELS,
    AddressClusterSpec,
    ClusterSpec,
    JoinedClusterSpec,
    LocalClusterSpec,
    QueueClusterSpec,
    SchedulerFileClusterSpec,
    TlsFiles,
    read_cluster_file,
)

_ENCRYPTED: Final = frozenset({"tls", "wss"})
_PLAIN: Final = frozenset({"tcp", "ws"})
_MAXIMUM_LOCAL_WORKERS: Final = 10_000
_FIRST_PORT: Final = 1024
"""Below lie ports of the system: a number behind a name is then one of workers."""


def parse_cluster(text: str, site: str = "", *, plain: bool = False) -> ClusterSpec:
    """Read a `--cluster` value.

    It is `local`, `local:N`, a scheduler's address, a scheduler file (`.json`), a cluster file
    (`.yaml`, `.yml`; see `spec.cluster`), or the kind of the cluster file `site`. `plain` asks for
    no certificates.
    """
    spec = read_cluster_file(site, _kind(text)) if site else _parse(text)
    if plain:
        off = "none" if isinstance(spec, QueueClusterSpec) else False
        joined = isinstance(spec, JoinedClusterSpec)
        spec = spec.model_copy(update={"allow_plaintext": True} if joined else {"tls": off})
    if isinstance(spec, JoinedClusterSpec):
        checked_address(spec)
    return spec


def _kind(text: str) -> str:
    if not text or text in MODELS:
        return text
    raise InputError(
        f"{text!r} is not a kind of cluster file",
        source="--cluster",
        remedy=f"with --site give one of {', '.join(MODELS)}, or leave --cluster out",
    )


def _parse(text: str) -> ClusterSpec:
    head, _, tail = text.partition(":")
    if head == "local":
        return LocalClusterSpec(workers=_local_workers(text, tail))
    if "://" in text:
        return AddressClusterSpec(address=text)
    if text.endswith((".yaml", ".yml")):
        return read_cluster_file(text)
    if text.endswith(".json"):
        return SchedulerFileClusterSpec(scheduler_file=text)
    if meant := _local_meant(head, tail):
        raise InputError(
            f"{text!r} does not name a cluster", source="--cluster", remedy=f"did you mean {meant}?"
        )
    if head and tail.isdigit():
        return AddressClusterSpec(address=f"tcp://{text}")
    known = text in MODELS
    raise InputError(
        f"{text!r} needs a cluster file" if known else f"{text!r} does not name a cluster",
        source="--cluster",
        remedy="add --site FILE.yaml (see cluster/)"
        if known
        else "give local, local:N, tls://host:port, a scheduler file .json or a cluster file .yaml",
    )


def _local_meant(head: str, tail: str) -> str:
    """Return what a slip of `local` or `local:N` stands for, or nothing."""
    workers = tail.isdecimal() and 0 < int(tail) < _FIRST_PORT
    near = difflib.get_close_matches(head.lower(), ["local"], cutoff=0.8)
    if not near or (tail and not workers):
        return ""
    return f"local:{tail}" if tail else "local"


def _local_workers(text: str, tail: str) -> int:
    if ":" not in text:
        return 0
    if not (tail.isdecimal() and 1 <= int(tail) <= _MAXIMUM_LOCAL_WORKERS):
        raise InputError(
            f"{tail!r} is not a number of workers", source="--cluster", remedy="write local:4"
        )
    return int(tail)


def checked_address(spec: JoinedClusterSpec) -> str:
    """Return the scheduler's address as Dask reads it, once it was found to be safe."""
    address, source = getattr(spec, "address", ""), "--cluster"
    if isinstance(spec, SchedulerFileClusterSpec):
        address, source = _address_in(spec.scheduler_file), spec.scheduler_file
    address = check_address(
        address, source=source, tls=spec.tls is not None, allow_plaintext=spec.allow_plaintext
    )
    if spec.tls is not None:
        check_files(spec.tls)
    return address


def check_address(address: str, *, source: str, tls: bool, allow_plaintext: bool) -> str:
    """Return an address with its scheme in lower case; only what is on a list is let through.

    `tls://` and `wss://` with certificates, `inproc://`, and `tcp://` and `ws://` to the loopback
    interface. `allow_plaintext` lets through the rest. Without a scheme Dask means `tcp://`.
    """
    scheme, found, rest = address.partition("://")
    scheme, rest = (scheme.lower(), rest) if found else ("tcp", address)
    address = f"{scheme}://{rest}"
    if scheme in _ENCRYPTED:
        if not tls and not _configured():
            raise InputError(
                f"{address} asks for certificates",
                source=source,
                remedy="give them in a cluster file: tls with ca_file, cert_file and key_file; "
                "from Python, hand over the client or cluster object that holds them",
            )
        return address
    if tls:
        raise InputError(
            f"certificates are given, but {address} is not a tls:// address", source=source
        )
    if scheme == "inproc" or allow_plaintext:
        return address
    if scheme not in _PLAIN:
        raise InputError(
            f"{address} is none of the addresses that are known to be safe",
            source=source,
            remedy="give a tls:// address with certificates, allow_plaintext: true in a cluster "
            "file, or from Python a distributed.Client that is connected already",
        )
    if not is_loopback(rest.partition("/")[0].rpartition(":")[0].strip("[]")):
        raise InputError(
            f"{address} is off this machine and not encrypted",
            source=source,
            remedy="start the scheduler with certificates (`distbragg cluster certificates`) and "
            "give its tls:// address in a cluster file with tls: …",
        )
    return address


def is_loopback(host: str) -> bool:
    """Say whether everything a host name stands for lies on this machine alone."""
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, None)} if host else set()
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(item).partition("%")[0]) for item in found]
    return bool(addresses) and all(address.is_loopback for address in addresses)


def check_files(tls: TlsFiles) -> None:
    """Refuse certificates that do not exist."""
    for name, path in tls.model_dump().items():
        if not Path(path).is_file():
            raise InputError("not found", source=path, field=f"tls.{name}")


def _configured() -> bool:
    """Say whether Dask's own configuration names certificates."""
    import dask.config
    import distributed  # noqa: F401 # reads its part of the configuration

    return bool(dask.config.get("distributed.comm.tls.ca-file", None))


def _address_in(path: str) -> str:
    try:
        address = json.loads(Path(path).read_text(encoding="utf-8"))["address"]
        if not isinstance(address, str):
            raise TypeError
    except OSError as error:
        raise unreadable(error, path) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            "is not a scheduler file: it has no address",
            source=path,
            remedy="give the file that dask scheduler --scheduler-file wrote",
        ) from None
    return address
