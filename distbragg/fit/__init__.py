"""Differentiable rendering: images as functions of their parameters, with exact gradients."""

from __future__ import annotations

from distbragg.fit.parameters import Parameters, parameters_of
from distbragg.fit.render import render_tensor

__all__ = ["Parameters", "parameters_of", "render_tensor"]
