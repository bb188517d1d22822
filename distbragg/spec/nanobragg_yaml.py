"""A command line of nanoBragg as a specification: plain named fields, each with its flag."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from distbragg.spec.canonical import to_plain
from distbragg.spec.commented import commented_yaml
from distbragg.spec.files import file_fields, replace_files
from distbragg.spec.nanobragg import NanobraggCommand
from distbragg.spec.nanobragg_flags import FLAGS

_NO_FLAG = "no flag: as nanoBragg has it"


def command_yaml(parsed: NanobraggCommand, argv: Sequence[str], folder: str | Path) -> str:
    """Return the specification of a command line as commented YAML, for a file in `folder`.

    Files of that folder are named relative to it, others by their whole path. What shapes the
    written files alone is told at the top.
    """
    base = Path(folder).absolute()
    names = {
        path: os.path.relpath(name, base)
        for path, name in file_fields(parsed.spec)
        if Path(name).is_relative_to(base)
    }
    spec = replace_files(parsed.spec, names)
    given = to_plain(spec, unset=False)

    def comment(path: str) -> str:
        flags = [
            flag
            for place, flag in parsed.said_by.items()
            if place == path or place.startswith(f"{path}.")
        ]
        if flags and not isinstance(_at(given, path), dict):
            # A shorter flag that the program finds within a longer one has its own words.
            said = [f"{flag}: {_help(flag)}" for flag in dict.fromkeys(flags)]
            return "; ".join(said)
        return "" if isinstance(_at(given, path), dict) else _NO_FLAG

    head = "\n".join(_head(parsed, argv))
    return commented_yaml(given, comment, head=head)


def _help(token: str) -> str:
    flag = FLAGS[token]
    return f"{flag.help} ({flag.unit})" if flag.unit else flag.help


def _at(plain: object, path: str) -> object:
    for name in path.split("."):
        plain = plain[name] if isinstance(plain, dict) else None
    return plain


def _head(parsed: NanobraggCommand, argv: Sequence[str]) -> Iterator[str]:
    """Yield what stands above the fields: the command, and how to make its files."""
    yield "Written by distbragg nanobragg from these flags:"
    words = " ".join(shlex.join(argv).split())
    yield from (f"  {line}" for line in textwrap.wrap(words, 96, break_long_words=False))
    yield "Render it, THIS being this file:"
    yield "  distbragg render THIS -o image.bin   the pixels of -floatfile"
    if parsed.outputs.noisefile is not None:
        yield "  distbragg render THIS -o noise.img --set noise.photon=true   those of -noisefile"
    own = parsed.outputs
    shaping = {"-scale": own.scale, "-pgmscale": own.pgmscale}
    found = [flag for flag, value in shaping.items() if value is not None]
    found += ["-adc"] if own.adc != type(own)().adc else []
    if found:
        yield f"Without a field, because it shapes nanoBragg's own files alone: {', '.join(found)}"
