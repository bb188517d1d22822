"""Every formula of the model once, in float64, for numpy arrays and torch tensors alike."""
