"""Copying a run to an object store: what proves something goes after what it proves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from distbragg.errors import DamageError, InputError, RefusedError
from distbragg.store.create import is_there, no_run
from distbragg.store.files import sha256_bytes
from distbragg.store.generations import GENERATIONS, is_extending
from distbragg.store.layout import (
    FAILURES_DIR,
    INPUTS,
    LABELS,
    MANIFEST,
    RECEIPTS_DIR,
    REPAIRS_DIR,
    STATE_DIR,
)
from distbragg.store.lease import Lease
from distbragg.store.ledger import Receipt, TableReceipt, completed_units
from distbragg.store.metadata import check_metadata
from distbragg.store.objects import Objects, is_url, objects_at
from distbragg.store.records import encode_record
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.seal import read_seal, write_seal
from distbragg.store.spots import has_labels, labels_key

_RECEIPTS = f"{STATE_DIR}/{RECEIPTS_DIR}/published"
_PER_OBJECT = 10_000


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What was copied: objects put now, and units that are there and of the run."""

    path: str
    url: str
    copied: int
    units: int
    all_units: int


def publish(run: RunLike, url: str, *, provenance: bool = False) -> PublishResult:
    """Copy a run, finished or not, to an object store, each object compared with its receipt.

    What is there already, and is what its receipt states, is passed over, so that an interrupted
    copy is gone on with and a run that has grown is brought up to date. Credentials come from the
    environment. With `provenance` it is also told who made the run: user, hosts and command.
    """
    directory = open_run(run)
    if not is_url(url):
        raise InputError(
            "is not an address of an object store",
            source=str(url),
            remedy="give s3://bucket/run.zarr",
        )
    check_metadata(directory)
    target = objects_at(url)
    _check_target(directory, target)
    with Lease(directory.objects), Lease(target):
        copied, units = _copy(directory, target, provenance=provenance)
    return PublishResult(directory.url, target.url, copied, units, directory.layout.units)


def _copy(run: RunDirectory, target: Objects, *, provenance: bool) -> tuple[int, int]:
    """Copy what is not there yet, the manifest last; return the objects put now, and all there."""
    if is_extending(run):
        raise RefusedError(
            f"{run.url}: frames are being appended; `distbragg resume {run.url}`, then publish"
        )
    _check_target(run, target)
    there = {entry.key: entry.size for entry in target.entries()}
    _copy_rest(run, target, there, provenance=provenance)
    done, copied = completed_units(run), 0
    for unit, receipt in done.items():
        key = run.first.object_name(unit)
        copied += _copy_stated(run, target, there, key, receipt)
        for one in run.beside:
            if receipt.maps:
                stated = receipt.maps[one.array]
                _copy_stated(run, target, there, one.object_name(unit), stated)
        if has_labels(run) and receipt.labels:
            _copy_stated(run, target, there, labels_key(unit), receipt.labels)
    _put_receipts(target, done.values(), provenance=provenance)
    manifest = run.manifest if provenance else run.manifest.without_private()
    # Where an earlier generation is there, this is what makes it the new one.
    target.put(MANIFEST, manifest.to_bytes())
    seal = read_seal(run)
    if seal is not None:
        write_seal(open_run(target.url), seal.digests)
    return copied, len(done)


def _check_target(run: RunDirectory, target: Objects) -> None:
    """Refuse a place that holds anything but this run, or one that it grew from."""
    if not is_there(target, run.manifest, [former.run_id for former in run.lineage]):
        try:
            with target.made_whole():
                pass
        except FileExistsError:
            raise no_run(target) from None


def _copy_stated(
    run: RunDirectory,
    target: Objects,
    there: Mapping[str, int],
    key: str,
    stated: Receipt | TableReceipt,
) -> bool:
    """Copy an object of which a receipt states size and digest; whether it was not there."""
    if there.get(key) == stated.size and target.digest(key)[0] == stated.digest:
        return False
    data = run.objects.get(key)
    if sha256_bytes(data) != stated.digest:
        raise DamageError(
            f"{run.url}/{key}: is not what its receipt states; `distbragg repair {run.url}`, "
            "then publish"
        )
    target.put(key, data)
    return True


def _copy_rest(
    run: RunDirectory, target: Objects, there: Mapping[str, int], *, provenance: bool
) -> None:
    """Copy metadata, coordinates, what a user added, and of the state what a reader needs."""
    chunks = tuple(f"{one.array}/c/" for one in run.arrays)
    state = [INPUTS, f"{GENERATIONS}/", f"{STATE_DIR}/zarr.json"]
    if provenance:
        state += [f"{STATE_DIR}/{folder}/" for folder in (FAILURES_DIR, REPAIRS_DIR)]
    for entry in run.objects.entries():
        key = entry.key
        if key.startswith(f"{STATE_DIR}/"):
            wanted = key.startswith(tuple(state))
        else:
            table = key.startswith(f"{LABELS}/") and not key.endswith("zarr.json")
            wanted = not key.startswith(chunks) and not table
        if wanted and not (
            there.get(key) == entry.size and target.digest(key) == run.objects.digest(key)
        ):
            target.put(key, run.objects.get(key))


def _put_receipts(target: Objects, receipts: Iterable[Receipt], *, provenance: bool) -> None:
    """Put the receipts that count, in place of those of an earlier copy."""
    hosts: dict[str, str] = {}
    lines = []
    for receipt in receipts:
        host = hosts.setdefault(receipt.host, f"host-{len(hosts) + 1}")
        told = receipt if provenance else replace(receipt, host=host)
        lines.append(encode_record(told.to_plain()))
    for number, first in enumerate(range(0, len(lines), _PER_OBJECT)):
        target.put(f"{_RECEIPTS}-{number:05d}.jsonl", b"".join(lines[first : first + _PER_OBJECT]))
