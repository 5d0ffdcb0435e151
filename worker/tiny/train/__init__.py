"""How the tiny SDXL was made: `python -m worker.tiny.train FOLDER`.

samples, tokenizer, models          what is learnt from, and what learns
vae, base, refiner, loras           the parts, in the order in which they are trained
loop, muon, latents                 a training, its optimiser, the pictures as latents
progress, whole                     what is said meanwhile; files that are whole or not there
"""

import os

# Before transformers is imported, here and in the processes that train.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
