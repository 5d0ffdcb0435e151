"""schema: what an editor knows of the batch files' language."""

from __future__ import annotations

import click

from producer.cli.options import json_command
from producer.cli.output import Output
from producer.language import as_text, batch_schema


@click.command()
@json_command
def schema(out: Output) -> None:
    """Print the JSON Schema of batch files.

    With it, an editor that reads JSON Schema completes keys, settings and values, says what each
    one means, and underlines what cannot be right. Save it beside your batch files:

    \b
      gridfarm schema > batch.schema.json

    Editors that use yaml-language-server find it by the first line of the batch file:

    \b
      # yaml-language-server: $schema=./batch.schema.json

    The schema takes whatever the language takes; `gridfarm plan` finds the other mistakes.
    """
    out.result(batch_schema(), as_text().rstrip())
