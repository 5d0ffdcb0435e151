"""How the tiny SDXL was made: `python -m worker.tiny.train FOLDER`."""

import os

# Before transformers is imported, here and in the processes that train.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
