"""Evidence bundles: claims measured anew by one command, each with its provenance."""
