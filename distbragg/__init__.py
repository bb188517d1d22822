"""distbragg: X-ray diffraction images of crystals, rendered in parallel, kept in Zarr.

The public functions are imported when first used, so that `import distbragg` and the
command line start without torch, dask or xarray.

Examples
--------
>>> import distbragg as db
>>> spec = db.load_spec("experiment.yaml")  # doctest: +SKIP
>>> image = db.render(spec)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from distbragg._version import __version__

if TYPE_CHECKING:
    from distbragg.fit.render import render_tensor
    from distbragg.models.tables import load_sweep
    from distbragg.run.create import create
    from distbragg.run.explain import explain
    from distbragg.run.export import export_run
    from distbragg.run.extend import extend
    from distbragg.run.gather import merge, subset
    from distbragg.run.prepare import plan as dry_run
    from distbragg.run.render import render
    from distbragg.run.repair import repair
    from distbragg.run.resume import resume, sweep
    from distbragg.run.verify import verify
    from distbragg.spec.experiment import ExperimentSpec
    from distbragg.spec.load import load_spec
    from distbragg.spec.sweep import SweepSpec
    from distbragg.store.frame_labels import Seen
    from distbragg.store.open import open_stack
    from distbragg.store.split import Split
    from distbragg.store.spots import open_labels
    from distbragg.training.collate import collate
    from distbragg.training.dataset import StackDataset, StackStream
    from distbragg.training.items import SpotColumns
    from distbragg.viewer.serve import view

# No package may have the name of a public function: its import would replace that (hence dry_run
# and export_run).
_HOMES = {
    "ExperimentSpec": "distbragg.spec.experiment",
    "Seen": "distbragg.store.frame_labels",
    "Split": "distbragg.store.split",
    "SpotColumns": "distbragg.training.items",
    "StackDataset": "distbragg.training.dataset",
    "StackStream": "distbragg.training.dataset",
    "SweepSpec": "distbragg.spec.sweep",
    "collate": "distbragg.training.collate",
    "create": "distbragg.run.create",
    "dry_run": "distbragg.run.prepare",
    "explain": "distbragg.run.explain",
    "export_run": "distbragg.run.export",
    "extend": "distbragg.run.extend",
    "load_spec": "distbragg.spec.load",
    "load_sweep": "distbragg.models.tables",
    "merge": "distbragg.run.gather",
    "noise": "distbragg.run.noise",
    "open_labels": "distbragg.store.spots",
    "open_stack": "distbragg.store.open",
    "render": "distbragg.run.render",
    "render_tensor": "distbragg.fit.render",
    "repair": "distbragg.run.repair",
    "resume": "distbragg.run.resume",
    "subset": "distbragg.run.gather",
    "sweep": "distbragg.run.resume",
    "verify": "distbragg.run.verify",
    "view": "distbragg.viewer.serve",
}
_NAMES_THERE = {"dry_run": "plan"}

__all__ = [
    "ExperimentSpec",
    "Seen",
    "Split",
    "SpotColumns",
    "StackDataset",
    "StackStream",
    "SweepSpec",
    "__version__",
    "collate",
    "create",
    "dry_run",
    "explain",
    "export_run",
    "extend",
    "load_spec",
    "load_sweep",
    "merge",
    "noise",
    "open_labels",
    "open_stack",
    "render",
    "render_tensor",
    "repair",
    "resume",
    "subset",
    "sweep",
    "verify",
    "view",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(home), _NAMES_THERE.get(name, name))
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"distbragg.{name} needs torch: pip install 'distbragg[torch]'") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
