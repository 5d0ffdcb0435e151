"""Errors that say nothing about a job, a file or a prompt."""

from __future__ import annotations

import torch

#: The device's or the machine's own trouble: no fault of what was being loaded or drawn.
MACHINE_TROUBLE = (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError)
