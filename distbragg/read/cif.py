"""Opening CIF files of any flavour, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gemmi

from distbragg.errors import InputError
from distbragg.read.text import read_text, shown

PARSER_ERRORS = (RuntimeError, ValueError, IndexError, OverflowError, MemoryError, KeyError)
"""What gemmi raises on damaged input."""


@contextmanager
def damage_is_input_error(path: str) -> Iterator[None]:
    """Turn whatever gemmi raises on damaged content (also text that is no UTF-8) into one error.

    Raises
    ------
    InputError
    """
    try:
        yield
    except PARSER_ERRORS as error:
        raise InputError(f"damaged content ({shown(str(error))})", source=path) from error


def open_cif(path: str) -> gemmi.cif.Document:
    """Parse a CIF file, compressed or not.

    Raises
    ------
    InputError
        Unreadable, binary, empty, or no CIF.
    """
    text = read_text(path)
    try:
        document = gemmi.cif.read_string(text)
    except PARSER_ERRORS as error:
        raise InputError(f"not a readable CIF ({shown(str(error))})", source=path) from error
    if len(document) == 0:
        raise InputError("the CIF holds no data block", source=path)
    return document
