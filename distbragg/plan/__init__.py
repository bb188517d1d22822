"""The plan: a pure function of the spec that cuts frames into tiles, chunks and units."""
