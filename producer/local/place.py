"""Where this machine keeps what it renders: `gridfarm-out`, with one store for all batches and,
beside it, a folder of each batch's name that shows it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.batch import slug

NAME = "gridfarm-out"
STORE = "store"


@dataclass(frozen=True)
class Place:
    """A folder `gridfarm-out`, be it there or not."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / STORE

    def view(self, batch_name: str, trial: str = "") -> Path:
        """Where a batch of that name is shown; a trial in a folder of its own there."""
        name = slug(batch_name)
        return self.folder / (f"{name}-batch" if name == STORE else name) / trial

    def earlier_stores(self) -> list[Path]:
        """Those that each batch's folder had of its own before there was one for all."""
        with suppress(OSError):
            return sorted(folder for folder in self.folder.glob(f"*/{STORE}") if is_store(folder))
        return []


def is_store(folder: Path) -> bool:
    """Whether batches lie in that folder."""
    return (folder / "batches").is_dir()


def find_place(start: Path) -> Place | None:
    """That of the nearest folder from `start` upward that has one with a store."""
    for parent in (start, *start.parents):
        place = Place(parent / NAME)
        if place.store.is_dir() or place.earlier_stores():
            return place
    return None


def from_here(path: Path | str) -> str:
    """A path below this folder as a person would write it; any other whole."""
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return str(path)
