"""How the tiny SDXL that comes with gridfarm was made; a developer's tool.

    world/    what it has seen: shapes, scenes, their pictures and captions
    train/    how it was made: `python -m worker.tiny.train FOLDER`

The weights are package data (`common.job.TINY_FOLDER`); `worker.assets.tiny_model` makes folders
of them, without torch.
"""
