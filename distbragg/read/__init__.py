"""Readers: files in, numpy arrays out, every defect one clear `InputError`."""
