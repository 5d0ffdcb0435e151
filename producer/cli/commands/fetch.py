"""fetch: a batch's pictures under readable names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from producer.cli.options import farm_command, named_batch
from producer.cli.output import Output
from producer.farm import Farm
from producer.wording import counted


@click.command()
@named_batch
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@farm_command
def fetch(farm: Farm, out: Output, batch: str, folder: Path) -> None:
    """Copy BATCH's pictures to DIR.

    BATCH is an id, its beginning, a name, a batch file, or @last.

    Under readable names: prompt/s<seed>/variant.png. What is there already is not copied
    again, and what is not rendered yet comes with the next call.

    \b
      gridfarm fetch wrong-lora pictures
    """
    found = farm.find(batch)
    report = farm.fetch(found, folder)
    data = {
        "batch": found.id,
        "folder": str(folder),
        "written": len(report.written),
        "skipped": len(report.skipped),
        "missing": len(report.missing),
        "damaged": len(report.damaged),
    }
    out.result(data, _text(data))


def _text(data: dict[str, Any]) -> str:
    parts = [f"{counted(data['written'], 'picture')} written to {data['folder']}"]
    parts += [f"{data['skipped']:,} there already"] if data["skipped"] else []
    parts += [f"{data['missing']:,} not rendered yet"] if data["missing"] else []
    some = f"{data['damaged']:,} not taken: what is stored for them is damaged"
    parts += [some] if data["damaged"] else []
    return ", ".join(parts)
