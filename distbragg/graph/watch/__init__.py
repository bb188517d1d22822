"""Watching a run from the scheduler: a dashboard page and Prometheus metrics.

The process that drives a run posts what its receipts say, once a second at most; a plugin on
the scheduler counts it up, and the page and the metrics show the counts. Neither workers nor
tasks know of it, and a run goes on unwatched where the scheduler cannot take the plugin.
"""
