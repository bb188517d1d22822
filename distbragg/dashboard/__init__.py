"""Watching a run from the scheduler: a dashboard page and Prometheus metrics."""
