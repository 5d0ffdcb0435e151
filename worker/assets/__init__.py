"""Models and LoRAs that jobs name, brought onto this machine before anything is loaded.

downloads.py    Downloads: what is downloading and how far; ends it when the process ends
hub.py          models of the Hugging Face hub, in its own cache
checkpoints.py  models in one file: what they need besides, and which are refused
tiny_model.py   the tiny SDXL that comes with gridfarm
in_place.py     files that lie on this machine anyway, read there
needs.py        what a job is made with, by name; errors say which of it cannot be had
cache.py        Assets: all of them by their references and hashes
"""

from __future__ import annotations

from worker.assets.cache import Assets, AssetUnreadable
from worker.assets.downloads import Downloads, DownloadStopped
from worker.assets.in_place import FileChanged
from worker.assets.needs import lora_need, model_need, needing, needs_of
from worker.assets.tiny_model import build

__all__ = [
    "AssetUnreadable",
    "Assets",
    "DownloadStopped",
    "Downloads",
    "FileChanged",
    "build",
    "lora_need",
    "model_need",
    "needing",
    "needs_of",
]
