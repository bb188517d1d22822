"""Rendering and finishing of tiles: the only place that uses torch."""
