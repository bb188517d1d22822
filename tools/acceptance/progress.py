"""Lines that say what the acceptance is doing."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"accept: {text}\n")
    sys.stdout.flush()
