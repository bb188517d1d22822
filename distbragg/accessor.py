"""Registers `.bragg` on the data sets and arrays of xarray: import it beside `xarray.open_zarr`.

`distbragg.open_stack` and `distbragg.render` register it themselves.
"""

from __future__ import annotations

from distbragg.store.accessor import BraggAccessor

__all__ = ["BraggAccessor"]
