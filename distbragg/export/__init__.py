"""Images out of arrays and datasets: SMV, raw floats, PGM, PNG; never out of the kernel."""
