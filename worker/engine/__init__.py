"""A job → its picture, with torch and diffusers. Knows no queue and no store.

stages.py       what each of SDXL's two stages is told of a job
schedule.py     each stage's scheduler and timesteps
prompts.py      prompts → embeddings, each computed once
loras.py        LoRAs of a base pipeline, switched on and off
pipelines.py    SDXL's pipelines, loaded by reference and kept on the device
pixels.py       tensors → a picture; NaN and black
progress.py     steps and seconds
fingerprint.py  what besides the job decides the bits
errors.py       the machine's own trouble
renderer.py     Renderer: all of them together
"""

from __future__ import annotations

from worker.engine.pipelines import quieten
from worker.engine.renderer import Renderer

__all__ = [
    "Renderer",
    "quieten",
]
