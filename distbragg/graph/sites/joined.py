"""Schedulers that somebody else runs, by address or by scheduler file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from distbragg.errors import InputError
from distbragg.graph.sites.security import check_address, check_files, security_of
from distbragg.spec.cluster import AddressClusterSpec, SchedulerFileClusterSpec


def connection(spec: AddressClusterSpec | SchedulerFileClusterSpec) -> dict[str, Any]:
    """Return the arguments of Dask's client.

    Raises
    ------
    InputError
        The scheduler is off this machine and not encrypted, or a file cannot be used.
    """
    check(spec)
    arguments: dict[str, Any] = (
        {"scheduler_file": spec.scheduler_file}
        if isinstance(spec, SchedulerFileClusterSpec)
        else {"address": spec.address}
    )
    if spec.tls is not None:
        arguments["security"] = security_of(spec.tls)
    return arguments


def check(spec: AddressClusterSpec | SchedulerFileClusterSpec) -> None:
    """Refuse what would be spoken to in plain text across a network, or cannot be encrypted.

    Raises
    ------
    InputError
    """
    if isinstance(spec, SchedulerFileClusterSpec):
        address, source = address_in(spec.scheduler_file), spec.scheduler_file
    else:
        address, source = spec.address, "--cluster"
    check_address(
        address, source=source, tls=spec.tls is not None, allow_plaintext=spec.allow_plaintext
    )
    if spec.tls is not None:
        check_files(spec.tls)


def address_in(path: str) -> str:
    """Read the address from a scheduler file.

    Raises
    ------
    InputError
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content["address"], str):
            raise TypeError
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source=path) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            "is no scheduler file: it has no address",
            source=path,
            remedy="give the file that dask scheduler --scheduler-file wrote",
        ) from None
    return str(content["address"])
