"""verify: is every picture of a batch what it should be?"""

from __future__ import annotations

import click

from producer.cli.flaw_text import flaw_lines, mending
from producer.cli.options import batch_argument, farm_command
from producer.cli.output import Output
from producer.cli.progress_display import FAILED_CELLS
from producer.farm import Farm
from producer.pictures import Fault, VerifyReport
from producer.wording import counted


@click.command()
@batch_argument
@click.option("--quick", is_flag=True, help="Only look whether they are there: at their begin.")
@farm_command
def verify(farm: Farm, out: Output, batch: str, quick: bool) -> int:
    """Check that BATCH's pictures are stored and whole.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    Reads every picture that should be stored and compares it with its key, its checksums and the
    SHA-256 in its sidecar. Says which are missing, damaged or cannot be read; what is not
    rendered yet is no fault. What is damaged is noted in the store: status and grid show it, and
    retry draws it again, and without a broker the same gridfarm render.

    \b
      gridfarm verify wrong-lora
      gridfarm verify wrong-lora --quick
      gridfarm verify @last && gridfarm fetch @last pictures

    Ends with 4 when a picture is missing, damaged or cannot be read, else with 0.
    """
    report = farm.verify(batch, quick=quick)
    out.result(report.to_json(), _text(report, on_a_farm=bool(farm.config.broker)))
    return FAILED_CELLS if report.flaws else 0


def _text(report: VerifyReport, *, on_a_farm: bool) -> str:
    pictures: dict[Fault, int] = {
        "missing": report.missing,
        "damaged": report.damaged or 0,
        "unreadable": report.unreadable,
    }
    return "\n".join(
        [
            f"{report.batch}: {_counts(report)}",
            *flaw_lines(report.flaws, sum(pictures.values())),
            *mending(report.batch, pictures, noted=report.noted, on_a_farm=on_a_farm),
        ]
    )


def _counts(report: VerifyReport) -> str:
    right = f"{report.stored:,} there" if report.whole is None else f"{report.whole:,} whole"
    counts = {
        "missing": report.missing,
        "damaged": report.damaged,
        "cannot be read": report.unreadable,
    }
    wrong = [f"{count:,} {what}" for what, count in counts.items() if count]
    return ", ".join([f"{counted(report.due, 'picture')} should be stored: {right}", *wrong])
