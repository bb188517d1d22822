"""Drawings of frames, sheets and charts, from arrays and a resolved detector, with matplotlib."""
