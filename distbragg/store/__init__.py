"""The run directory: a Zarr stack with its manifest, receipts and inputs."""
