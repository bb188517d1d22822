"""Certificates in files, for clusters whose parts start on several machines."""

# distributed has no type hints on most of its methods.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.graph.sites.security import temporary_security
from distbragg.spec.cluster import TlsFiles

FILES = {"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
"""Name of each file by what Dask calls its content."""


def make_certificates(directory: Path) -> TlsFiles:
    """Write a self-signed certificate, its authority and its key; only the owner may read them.

    Parameters
    ----------
    directory : Path
        Made if need be.

    Raises
    ------
    InputError
        There are certificates already.
    EnvironmentFailure
        The folder cannot be written, or cryptography is not installed.
    """
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
            "is there already", source=str(error.filename), remedy="give another folder"
        ) from None
    except OSError as error:
        raise EnvironmentFailure(f"{directory}: cannot be written: {error.strerror}") from error
    ca, cert, key = (str(path.absolute()) for path in paths.values())
    return TlsFiles(ca_file=ca, cert_file=cert, key_file=key)


@contextmanager
def passing_certificates(parent: Path) -> Iterator[TlsFiles]:
    """Yield certificates for one cluster; they are removed afterwards.

    Parameters
    ----------
    parent : Path
        A folder that every node sees under the same path, made if need be.
    """
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        holder = TemporaryDirectory(prefix="certificates-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise EnvironmentFailure(f"{parent}: cannot be written: {error.strerror}") from error
    with holder as directory:
        yield make_certificates(Path(directory))
