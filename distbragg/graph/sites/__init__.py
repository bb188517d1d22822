"""Kinds of cluster, one module each; `graph.cluster` is the way in."""
