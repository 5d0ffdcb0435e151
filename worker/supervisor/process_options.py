"""How a worker process is started. The launcher hands it to the process as one JSON argument."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ProcessOptions:
    """`cpu_threads` None leaves torch's own choice; `gpu` is the pool's GPU type (`l4`); `grace`
    is how many seconds SIGTERM leaves, and `stall` how long a render may stand still, None as
    measured. `machine` is the host's name unless given. A process that is `launched` hears from
    its launcher on stdin."""

    threads: int = 4
    cpu_threads: int | None = None
    gpu: str = ""
    device: str | None = None
    grace: float | None = None
    stall: float | None = None
    machine: str = ""
    log_format: str = "text"
    launched: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ProcessOptions:
        """Raises ValueError for what is no JSON object of these fields."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"no options of a worker process: {error}") from error
