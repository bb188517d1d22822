"""Stacks as training data: torch data sets that read whole chunks in many worker processes."""
