"""fetch: a batch's pictures under readable names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from producer.cli.flaw_text import flaw_lines, mending
from producer.cli.options import farm_command, named_batch
from producer.cli.output import Output
from producer.cli.progress_display import FAILED_CELLS
from producer.farm import Farm
from producer.pictures import FetchReport
from producer.wording import counted


@click.command()
@named_batch
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@farm_command
def fetch(farm: Farm, out: Output, batch: str, folder: Path) -> int:
    """Copy BATCH's pictures to DIR.

    BATCH is an id, its beginning, a name, a batch file, or @last.

    Under readable names: prompt/s<seed>/variant.png. What is there already is not copied
    again, and what is not rendered yet comes with the next call. What is damaged in the store,
    cannot be read there, or is not there any more, is named. gridfarm retry draws it again, and
    without a broker the same gridfarm render, but for what cannot be read.

    \b
      gridfarm fetch wrong-lora pictures

    Ends with 4 when a picture was lost, damaged or could not be read, else with 0.
    """
    found = farm.find(batch)
    report = farm.fetch(found, folder)
    data = {
        "batch": found.id,
        "folder": str(folder),
        "written": len(report.written),
        "skipped": len(report.skipped),
        "missing": len(report.missing),
        "lost": len(report.lost),
        "damaged": len(report.damaged),
        "unreadable": len(report.unreadable),
        "noted": report.noted,
        "flaws": [flaw.to_json() for flaw in report.flaws],
    }
    out.result(data, _text(report, found.id, folder, on_a_farm=bool(farm.config.broker)))
    return FAILED_CELLS if report.flaws else 0


def _text(report: FetchReport, batch_id: str, folder: Path, *, on_a_farm: bool) -> str:
    counts = {
        "there already": report.skipped,
        "not rendered yet": report.missing,
        "not taken: not in the store any more": report.lost,
        "not taken: damaged": report.damaged,
        "not taken: cannot be read": report.unreadable,
    }
    parts = [f"{counted(len(report.written), 'picture')} written to {folder}"]
    parts += [f"{len(some):,} {what}" for what, some in counts.items() if some]
    pictures = Counter(flaw.fault for flaw in report.flaws)
    return "\n".join(
        [
            ", ".join(parts),
            *flaw_lines(report.flaws, len(report.flaws)),
            *mending(batch_id, pictures, noted=report.noted, on_a_farm=on_a_farm),
        ]
    )
