"""Geometry files of other programs: detector panels, beam, spindle, scan and crystal."""
