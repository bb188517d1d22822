"""Draw the pictures of the tutorial anew: run its pages as they stand, and keep what they draw.

python -m tests.docs.pictures [--entry FILE] [PAGE ...]

The pictures kept are of the entry 1ORC of the Protein Data Bank: FILE is its PDB file. Without it
they are of the made-up atoms that the pages take.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tests.docs.blocks import ROOT, Block
from tests.docs.page import Page, programs_in, run_page

HOME = ROOT / "docs" / "images" / "tutorial"
COLOURS = 128


def draw(path: Path, programs: Path, entry: Path | None) -> None:
    """Run a page without making it small; keep the pictures that it names."""
    names = re.findall(r"images/tutorial/([\w-]+\.png)", path.read_text(encoding="utf-8"))
    if not names:
        return
    with TemporaryDirectory() as folder, TemporaryDirectory() as given:
        page = Page(Path(folder), programs, Path(given))
        take = page.do

        def do(block: Block) -> None:
            take(block)
            if entry is not None:
                shutil.copy(entry, page.folder / "entry.pdb")

        page.do = do  # type: ignore[method-assign]
        page.do_small = lambda block: None  # type: ignore[method-assign]
        run_page(path, page)
        for name in names:
            picture = Image.open(page.folder / name).convert("RGB")
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(HOME / name, optimize=True)
            sys.stderr.write(f"{name}: {(HOME / name).stat().st_size} bytes\n")


def main() -> None:
    """Draw the pages asked for, or all of the tutorial."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the tutorial anew.")
    parser.add_argument("--entry", type=Path, help="PDB file of the entry 1ORC")
    parser.add_argument("pages", nargs="*", help="names of pages; default: all")
    asked = parser.parse_args()
    folder = ROOT / "docs" / "tutorial"
    with TemporaryDirectory() as programs:
        there = programs_in(Path(programs))
        for page in asked.pages or sorted(path.name for path in folder.glob("*.md")):
            draw(folder / page, there, asked.entry)


if __name__ == "__main__":
    main()
