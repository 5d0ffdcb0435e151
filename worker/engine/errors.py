"""Errors that say nothing about a job, a file or a prompt."""

from __future__ import annotations

import errno

import torch

#: The device's or the machine's own trouble: no fault of what was being loaded or drawn.
MACHINE_TROUBLE = (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError)


def is_machine_trouble(error: Exception) -> bool:
    """Whether what the libraries raise while a model is loaded is the machine's: a library that
    is missing, a disk that is full or cannot be read. A file that is not there is the model's,
    and so is what has no number of the system's: the libraries raise OSError for that too."""
    missing = isinstance(error, OSError) and error.errno in (None, errno.ENOENT)
    return isinstance(error, (ImportError, OSError, *MACHINE_TROUBLE)) and not missing
