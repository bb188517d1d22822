"""Encryption: what may be plain, and how certificates reach Dask.

Whoever reaches a scheduler's port can run code as its user. So everything that leaves the
machine is encrypted, with certificates as the only key.
"""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.spec.cluster import TlsFiles

if TYPE_CHECKING:
    from distributed.security import Security


def is_loopback(host: str) -> bool:
    """Say whether everything a host name stands for lies on this machine alone."""
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(item).partition("%")[0]).is_loopback for item in found)


def host_of(address: str) -> str:
    """Return the host of `scheme://host:port`."""
    return address.partition("://")[2].rpartition(":")[0].strip("[]")


def check_address(address: str, *, source: str, tls: bool, allow_plaintext: bool) -> None:
    """Refuse an address that would be spoken to in plain text across a network.

    Raises
    ------
    InputError
    """
    scheme = address.partition("://")[0]
    if scheme == "tls":
        if not tls and not _configured():
            raise InputError(
                f"{address} asks for certificates",
                source=source,
                remedy="give them in a cluster file: tls with ca_file, cert_file and key_file",
            )
        return
    if tls:
        raise InputError(
            f"certificates are given, but {address} is no tls:// address", source=source
        )
    if scheme in {"tcp", "ws"} and not allow_plaintext and not is_loopback(host_of(address)):
        raise InputError(
            f"{address} is off this machine and not encrypted",
            source=source,
            remedy="start the scheduler with certificates (`distbragg cluster certificates`) and "
            "give its tls:// address in a cluster file with tls: …",
        )


def _configured() -> bool:
    """Say whether Dask's own configuration names certificates."""
    import dask.config
    import distributed  # noqa: F401 # reads its part of the configuration

    return bool(dask.config.get("distributed.comm.tls.ca-file", None))


def security_of(tls: TlsFiles) -> Security:
    """Return Dask's view of the certificates; encryption is required."""
    from distributed.security import Security

    return Security(
        require_encryption=True,
        tls_ca_file=tls.ca_file,
        **{
            f"tls_{role}_{part}": value
            for role in ("client", "scheduler", "worker")
            for part, value in (("cert", tls.cert_file), ("key", tls.key_file))
        },
    )


def check_files(tls: TlsFiles) -> None:
    """Refuse certificates that are not there.

    Raises
    ------
    InputError
    """
    for name, path in tls.model_dump().items():
        if not Path(path).is_file():
            raise InputError("there is no such file", source=path, field=f"tls.{name}")


def temporary_security() -> Security:
    """Return certificates made for this run alone, held in memory.

    Raises
    ------
    EnvironmentFailure
        The package that makes them is not there.
    """
    from distributed.security import Security

    try:
        security: Security = Security.temporary()
    except ImportError:
        raise EnvironmentFailure(
            "certificates are made with cryptography: pip install 'distbragg[cluster]'"
        ) from None
    return security
