"""`view`: frames in a browser."""

from __future__ import annotations

import logging
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from distbragg.cli import options
from distbragg.cli.interrupt import Interrupts
from distbragg.cli.output import echo

_REDIRECT = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={}">'


@click.command("view")
@click.argument("target", metavar="RUN|SPEC.yaml", type=click.Path())
@click.argument("other", metavar="[OTHER]", required=False, type=click.Path())
@click.option("--frame", type=click.IntRange(min=0), default=0, metavar="N", help="First frame.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="P",
    help="Port on 127.0.0.1; default: any that is free.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser of this machine.")
@options.set_option
@options.root_option
@options.threads_option
def view_command(
    *,
    target: str,
    other: str | None,
    frame: int,
    port: int,
    opens: bool,
    overrides: tuple[str, ...],
    root: str | None,
    threads: int | None,
) -> int:
    """Look at the frames of a run, or of a spec, in a browser.

    A run may lie in a folder or on an object store, and may still grow. Frames of a spec are
    rendered as they are looked at. OTHER is shown beside it, or as difference or ratio.

    The page is served on 127.0.0.1 alone, behind a secret in its address, until Ctrl-C. From
    another machine, forward the port: the command for it is printed.

    \b
    Examples:
      distbragg view out.zarr --open
      distbragg view out.zarr other.zarr
      distbragg view experiment.yaml --set detector.distance_mm=120
      distbragg view s3://bucket/out.zarr --port 5006
    """
    from distbragg.viewer.serve import view

    Interrupts.hint = ""  # there is nothing to resume
    # A browser asks for an icon that there is not: no news.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    with view(
        target, other, overrides=overrides, root=root, port=port, frame=frame, threads=threads
    ) as viewer:
        echo(
            f"{target}: {viewer.url}",
            "from another machine, first",
            f"  {viewer.tunnel}",
            "Ctrl-C ends it",
        )
        with _redirect(viewer.url) if opens else nullcontext() as page:
            if page is not None:
                webbrowser.open(page.as_uri())
            threading.Event().wait()
    return 0


@contextmanager
def _redirect(url: str) -> Iterator[Path]:
    """Yield a file that leads to a page: the list of processes, which all users see, has no secret.

    Only its owner reads the file.
    """
    with tempfile.TemporaryDirectory(prefix="distbragg-view-") as folder:
        path = Path(folder) / "view.html"
        path.write_text(_REDIRECT.format(url), encoding="utf-8")
        yield path
