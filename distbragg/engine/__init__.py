"""Distributed execution: partial sums, tasks, executors and clusters. Dask lives here alone."""
