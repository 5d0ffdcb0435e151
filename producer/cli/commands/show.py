"""show: how a picture or a batch was made."""

from __future__ import annotations

import json

import click

from producer.cli import completion
from producer.cli.options import farm_command
from producer.cli.output import Output
from producer.farm import Farm
from producer.pictures import SheetRecipe


@click.command()
@click.argument("what", metavar="IMAGE|BATCH#I|BATCH", shell_complete=completion.pictures)
@farm_command
def show(farm: Farm, out: Output, what: str) -> None:
    """Say how a picture or a batch was made.

    IMAGE is a PNG file that gridfarm wrote, and needs no store; BATCH#I is cell I of a batch.
    Shown are the Job, which is everything that decides the pixels, the machine and library
    versions that drew it, and how long that took. Of a grid, which is a PNG too, it says which
    batch it shows, and what draws it again. BATCH alone is shown as the batch file that orders
    it again.

    \b
      gridfarm show pictures/wolf/s3/base.png
      gridfarm show wrong-lora#3
      gridfarm show grid.png
      gridfarm show @last > again.yaml
    """
    recipe = farm.show(what)
    data = recipe.to_json()
    text = recipe.to_text() if isinstance(recipe, SheetRecipe) else data.get("file")
    out.result(data, text or json.dumps(data, ensure_ascii=False, indent=2))
