"""Draw the figures of `docs/explanation/physics`: one module a page, run with `python -m`."""
