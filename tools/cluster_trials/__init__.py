"""Trials of clusters that need more than a test may ask for: a real SLURM, several hosts."""
