"""Benchmarks: workloads, the C program beside ours, and what a report of speed consists of."""
