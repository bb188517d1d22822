"""`distbragg presets`: the detectors that `detector.preset` may name."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("presets")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(as_json: bool) -> None:
    """List the detectors that `detector.preset` may name, each with its source."""
    from distbragg.read.preset import Preset, preset_names, read_preset

    presets = [read_preset(name) for name in preset_names()]
    if as_json:
        click.echo(json.dumps([asdict(preset) for preset in presets], indent=2))
        return

    def text(preset: Preset) -> str:
        slow, fast = preset.pixels
        parts = f"{len(preset.segments)} panels of " if preset.segments else ""
        return (
            f"{preset.title}: {parts}{fast} x {slow} px of {preset.pixel_mm:g} mm, "
            f"{preset.material} {preset.thickness_um:g} um. {preset.source}"
        )

    from distbragg.cli.tables import print_rows

    print_rows("detector.preset", [(preset.name, text(preset)) for preset in presets])
