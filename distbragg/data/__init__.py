"""Samples that ship with the package, of our own making."""
