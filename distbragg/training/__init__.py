"""Stacks as training data: torch data sets that read whole chunks in many worker processes."""

from distbragg.training.transforms import Clip, Crop, Log, Normalise, Pool, RandomCrop, Root

__all__ = ["Clip", "Crop", "Log", "Normalise", "Pool", "RandomCrop", "Root"]
