"""Rendering and finishing of tiles: the model in torch and its compiled forms."""
