"""How a picture or a batch was made, as a person or a script reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from common.assets import FileHashes
from common.batch import Batch, Cell, Matrix
from common.errors import GridfarmError, NotFound
from common.job import Job
from common.picture import PictureMeta, decode_meta
from common.store import GET_BYTES, Store
from producer.language import printed
from producer.pictures.examine import Flaw, mend, whole_picture
from producer.pictures.sheet_recipe import SheetRecipe


@dataclass(frozen=True)
class Recipe:
    """How one picture was made, or would be. `job` is everything that decides the pixels.

    `fingerprint` is the machine and the library versions that drew it, `timings` the seconds of
    each phase; both are None for a cell that is not rendered yet. `batch`, `i` and `labels` say
    which cell was asked for; they are None for a file.
    """

    job: Job
    fingerprint: Mapping[str, JsonValue] | None = None
    timings: Mapping[str, float] | None = None
    batch: str | None = None
    i: int | None = None
    labels: Mapping[str, str] | None = None

    @classmethod
    def of_file(cls, path: Path) -> Recipe | SheetRecipe:
        """The recipe that a PNG carries, a picture or a sheet. Raises NotFound for a file that is
        none of gridfarm's."""
        try:
            with path.open("rb") as file:
                png = file.read(GET_BYTES)
        except OSError as error:
            raise NotFound(
                f"{path}: {error.strerror}",
                hint="name a PNG that gridfarm wrote, or a cell as BATCH#3",
            ) from error
        try:
            if sheet := SheetRecipe.in_png(png):
                return sheet
            meta = decode_meta(png)
        except GridfarmError as error:
            raise NotFound(f"{path}: {error.message}", hint=error.hint) from error
        return cls(meta.job, meta.fingerprint, meta.timings)

    @classmethod
    def of_cell(cls, batch_id: str, document: Batch, i: int, store: Store) -> Recipe:
        """Cell `i` of a batch, also before it is rendered. Raises StoreError, and NotFound for a
        cell that the batch has not or that is excluded, and for a stored picture that is
        damaged."""
        cell = _cell(batch_id, Matrix(document), i)
        meta = _stored_meta(batch_id, cell, store)
        return cls(
            cell.job,
            meta.fingerprint if meta else None,
            meta.timings if meta else None,
            batch=batch_id,
            i=i,
            labels=cell.labels,
        )

    @property
    def key(self) -> str:
        """The SHA-256 that the picture is stored under."""
        return self.job.key

    def to_json(self) -> dict[str, Any]:
        timings = {} if self.timings is None else {"timings": self.timings}
        cell = {"batch": self.batch, "i": self.i, "labels": self.labels}
        return {
            "key": self.key,
            "job": self.job.to_json(),
            "fingerprint": self.fingerprint,
            **timings,
            **({} if self.batch is None else cell),
        }


@dataclass(frozen=True)
class BatchRecipe:
    """The text of a batch file that orders `batch` again."""

    batch: str
    file: str

    @classmethod
    def of_batch(cls, batch_id: str, document: Batch, hashes: FileHashes) -> BatchRecipe:
        """The batch file, with what was pinned as comments. A batch keeps no paths: a LoRA's file
        is where this machine remembers one with its hash, else has to be put beside the file."""
        pins = [f"{name} is {ref}" for name, ref in document.models.items() if ref != name]
        files = {}
        for name, sha256 in document.loras.items():
            found = hashes.find(sha256) if sha256 else None
            files[name] = str(found or f"./{name}.safetensors")
            pins.append(
                f"{'' if found else 'put it there: '}{files[name]} has the SHA-256 {sha256}"
            )
        notes = [f"# {' '.join(pin.split())}" for pin in (batch_id, *pins)]  # a comment is one line
        return cls(batch_id, "\n".join([*notes, printed(document, files).rstrip()]))

    def to_json(self) -> dict[str, Any]:
        return {"batch": self.batch, "file": self.file}


def _cell(batch_id: str, matrix: Matrix, i: int) -> Cell:
    if not 0 <= i < len(matrix):
        raise NotFound(f"{batch_id} has no cell {i}", hint=f"its cells are 0 to {len(matrix) - 1}")
    cell = matrix[i]
    if cell is None:
        raise NotFound(
            f"cell {i} of {batch_id} is excluded", hint="see exclude and only in its file"
        )
    return cell


def _stored_meta(batch_id: str, cell: Cell, store: Store) -> PictureMeta | None:
    found = whole_picture(cell, store)
    if not isinstance(found, Flaw):
        return decode_meta(found)
    if found.fault == "damaged":
        raise NotFound(f"cell {cell.i} of {batch_id}: {found.reason}", hint=mend(batch_id))
    return None
