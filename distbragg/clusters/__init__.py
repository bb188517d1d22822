"""Kinds of cluster, one module each; `clusters.open` is the way in."""
