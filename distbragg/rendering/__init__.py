"""From tiles and source chunks to a finished frame."""
