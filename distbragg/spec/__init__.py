"""What the user wrote: frozen pydantic models, YAML, sweeps, and nanoBragg's command line.

`load` reads files, `sweep` varies fields along axes, `nanobragg` reads the flags of
nanoBragg, `canonical` gives the one text two equal specifications share, `files` names the
input files. A specification keeps what was said and leaves open what was not; `models.build`
resolves it. Importing this package alone imports none of its modules.
"""
