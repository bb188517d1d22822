"""An opened run: its path, its manifest, and the paths and specs derived from them."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from distbragg.errors import DamageError, InputError
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.files import file_fields
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.yaml_text import as_mapping
from distbragg.store.foreign import check_inside
from distbragg.store.generations import Generation, load_lineage, settled_digest
from distbragg.store.inputs import resolve_inputs
from distbragg.store.layout import (
    GRIDS_DIR,
    INPUTS_DIR,
    MANIFEST_FILE,
    PARTIAL_DIR,
    STATE_DIR,
    StackLayout,
)
from distbragg.store.manifest import Manifest, load_manifest
from distbragg.store.remote import Remote, is_url

_CACHE_SIZE = 8
_cache: dict[tuple[str, int, int, int], RunDirectory] = {}
_remotes: dict[str, RunDirectory] = {}
_cache_lock = threading.Lock()


@dataclass(frozen=True)
class RunDirectory:
    """A run on disk.

    Attributes
    ----------
    path : Path
        The run directory, which is also the Zarr group; absolute.
    manifest : Manifest
    sweep : SweepSpec
        What is rendered, with input files pointing into the run directory.
    lineage : tuple of Generation
        What the run held before frames were appended, newest first.
    remote : Remote, optional
        The object store the run is on; `path` is then a mirror of its state.
    """

    path: Path
    manifest: Manifest
    sweep: SweepSpec
    lineage: tuple[Generation, ...] = ()
    remote: Remote | None = None

    @property
    def place(self) -> str:
        """Path or URL by which any process opens the run."""
        return str(self.path) if self.remote is None else self.remote.url

    @property
    def shown(self) -> Path | str:
        """Where the run is, for messages."""
        return self.path if self.remote is None else self.remote.url

    @property
    def run_id(self) -> str:
        """SHA-256 of the run's identity, hex."""
        return self.manifest.run_id

    @property
    def layout(self) -> StackLayout:
        """Shape and cutting of the stored array."""
        return self.manifest.layout

    @property
    def state(self) -> Path:
        """The `.distbragg` directory."""
        return self.path / STATE_DIR

    @property
    def grids(self) -> Path:
        """Directory of prepared |F| grids."""
        return self.state / GRIDS_DIR

    def input_path(self, sha: str) -> Path:
        """Path of the input file of that content.

        Raises
        ------
        DamageError
            It is not in the run directory.
        """
        folder = self.state / INPUTS_DIR / sha
        names = sorted(folder.iterdir()) if folder.is_dir() else []
        if len(names) != 1:
            raise DamageError(f"{folder}: input file is missing from the run")
        return names[0]

    def object_path(self, unit: int) -> Path:
        """Path of the stored object of `unit`."""
        return self.path / self.layout.object_name(unit)

    def partial_path(self, unit: int) -> Path:
        """Return a path that nothing else has, for a file of `unit` that is not whole yet."""
        return self.state / PARTIAL_DIR / f"{unit}.{uuid.uuid4().hex}"

    def settled(self, unit: int) -> str | None:
        """Return the digest of a unit that an earlier generation finished; None for any other."""
        return settled_digest(self.lineage, unit, self.layout)

    def owns(self, run_id: object, unit: int) -> bool:
        """Whether a record of that run about that unit speaks of this run."""
        if run_id == self.run_id:
            return True
        return any(
            run_id == generation.manifest.run_id and generation.settles(unit, self.layout)
            for generation in self.lineage
        )

    def frame_spec(self, frame: int) -> ExperimentSpec:
        """Build the validated specification of one frame (flat C-order index)."""
        return self.sweep.frame_spec(frame)


def open_run(path: str | Path) -> RunDirectory:
    """Open a run; repeated opening of the same manifest costs one `stat`.

    Raises
    ------
    InputError
        `path` is not a run.
    DamageError
        Its manifest is damaged.
    """
    if is_url(path):
        return _open_remote(str(path).rstrip("/"))
    absolute = Path(path).absolute()
    key = _cache_key(absolute)
    with _cache_lock:
        if key is not None and key in _cache:
            return _cache[key]
    manifest = load_manifest(absolute)
    sweep = _validated_sweep(manifest, absolute)
    run = RunDirectory(absolute, manifest, sweep, load_lineage(absolute, manifest))
    if key is not None:
        with _cache_lock:
            while len(_cache) >= _CACHE_SIZE:
                _cache.pop(next(iter(_cache)))
            _cache[key] = run
    return run


def refresh_run(path: str | Path) -> RunDirectory:
    """Open a run, on an object store as it is there now."""
    if is_url(path):
        with _cache_lock:
            _remotes.pop(str(path).rstrip("/"), None)
    return open_run(path)


def _open_remote(url: str) -> RunDirectory:
    """Open a run on an object store: once in a process, since every task asks for it."""
    with _cache_lock:
        known = _remotes.get(url)
    if known is not None:
        return known
    remote = Remote(url)
    if remote.head(f"{STATE_DIR}/{MANIFEST_FILE}") is None:
        raise InputError(
            "is not a distbragg run: there is no .distbragg/manifest.json below it",
            source=url,
            remedy="check the address, or make a run there with `distbragg sweep`",
        )
    remote.sync()
    run = replace(open_run(remote.mirror), remote=remote)
    with _cache_lock:
        return _remotes.setdefault(url, run)


def _validated_sweep(manifest: Manifest, run: Path) -> SweepSpec:
    """Validate the sweep of a manifest, which may come from elsewhere, and its file names."""
    folder = run / STATE_DIR / INPUTS_DIR
    try:
        sweep = parse_sweep(as_mapping(resolve_inputs(manifest.sweep_plain, folder)))
    except InputError as error:
        raise DamageError(f"{run}: manifest: the sweep cannot be used ({error})") from None
    for path, name in file_fields(sweep):
        if Path(name).parent.parent != folder:
            raise DamageError(f"{run}: manifest: {path} names a file outside of the run")
        check_inside(Path(name), run)
    return sweep


def _cache_key(path: Path) -> tuple[str, int, int, int] | None:
    try:
        status = (path / STATE_DIR / MANIFEST_FILE).stat()
    except OSError:
        return None
    return str(path), status.st_ino, status.st_mtime_ns, status.st_size
