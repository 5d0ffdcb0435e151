"""The batch file that `gridfarm init` writes: small, runs at once, shows the language."""

from __future__ import annotations

import shlex
from pathlib import Path

from common.batch import slug

TEXT = """\
# Every prompt × every seed × every variant is one picture: 2 × 3 × 3 = 18.
#
#   gridfarm plan FILE                    what would be rendered; needs no GPU
#   gridfarm render FILE --model tiny     try it anywhere: the tiny model draws shapes
#   gridfarm render FILE                  with Stable Diffusion XL, on this machine's GPU

name: NAME
model: sdxl                   # or tiny, a hub id, a folder, a .safetensors file

prompts:                      # the rows of the grid; (words)++ weigh more
  wolf: a wolf in a snowy forest, chilly nature documentary photography
  hamburger: a (large delicious hamburger)++ on a plate, professional food photography

seeds: [1, 2, 3]              # or 0..9, which is all ten

settings:                     # what every picture starts from
  steps: 30
  guidance_scale: 7

variants:                     # the columns: what is compared, each a bundle of settings
  base: {}
  negative: {negative_prompt: "blurry, low quality"}
  guided: {guidance_scale: 12}

# More of the language; take away a "# " to try it.
# axes: {scheduler: [euler, dpm++ 2m karras]}         # any setting as one more axis: 36 pictures
# words: {animal: [wolf, cat]}                        # one more axis: write {animal} in a prompt
# exclude: [{prompt: hamburger, variant: guided}]     # cells that are left out
"""


def first_batch(path: Path) -> str:
    """The text for a file at `path`: the batch is called after it, unless that says nothing."""
    name = "first-batch" if path.stem == "batch" else slug(path.stem)
    return TEXT.replace("FILE", shlex.quote(str(path))).replace("NAME", name)
