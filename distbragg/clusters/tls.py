"""Certificates: the only key to a scheduler, which runs what it is sent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.spec.cluster import TlsFiles

if TYPE_CHECKING:
    from distributed.security import Security

FILES: Final = {"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
"""Name of each file by what Dask calls its content."""


def temporary_security() -> Security:
    """Return certificates made for one run, held in memory."""
    from distributed.security import Security

    try:
        security: Security = Security.temporary()
    except ImportError:
        raise EnvironmentFailure(
            "certificates are made with cryptography: pip install cryptography"
        ) from None
    return security


def security_of(tls: TlsFiles) -> Security:
    """Return Dask's view of certificate files; encryption is required."""
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


def make_certificates(directory: Path) -> TlsFiles:
    """Write a certificate, its authority and its key, where there are none, for the owner alone."""
    texts = temporary_security().get_tls_config_for_role("scheduler")
    paths = {name: directory / file for name, file in FILES.items()}
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, path in paths.items():
            mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(path, mode, 0o600), "w", encoding="ascii") as handle:
                handle.write(texts[name])
    except FileExistsError as error:
        raise InputError(
            "exists already", source=str(error.filename), remedy="give another folder"
        ) from None
    except OSError as error:
        raise EnvironmentFailure(f"{directory}: cannot be written: {error.strerror}") from error
    ca, cert, key = (str(path.absolute()) for path in paths.values())
    return TlsFiles(ca_file=ca, cert_file=cert, key_file=key)
