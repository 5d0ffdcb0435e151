"""What a batch needs of models: looked at once, before the first cell is rendered.

A folder that lacks a file, a repository without weights, a hub that cannot be reached are the
same for every cell; nobody should hear of them from each.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from common.assets import (
    Part,
    cached_snapshot,
    check_checkpoint_file,
    check_model_folder,
    hub_is_off,
)
from common.batch import TRAITS, Batch, Cell, Matrix
from common.errors import GridfarmError, HubError
from common.gpus import visible_gpus
from common.job import BUILTIN_MODELS, SDXL, SDXL_REFINER, HubName, ModelRef
from producer.submission.hub import Hub, probe_hub
from producer.submission.stored import stored_jobs

#: Of a batch with more cells so many are looked at, at random, the first ones, and some with each
#: value of an axis that changes models.
LOOKED_AT, FIRST, OF_EACH_VALUE = 300, 100, 3

ON_CPU = "on this machine's CPU SDXL takes minutes a picture (--model tiny: about a second)"


@dataclass(frozen=True)
class Need:
    """`written` under `field` of the batch file is loaded as `part` in `dtype`; `ref` is None
    while nothing has pinned it."""

    field: str
    written: str
    part: Part
    dtype: str
    ref: ModelRef | None

    @property
    def repository(self) -> ModelRef | None:
        """The one on the hub that whoever renders needs, be it for settings alone."""
        if self.ref and self.ref.kind == "file":
            return BUILTIN_MODELS[SDXL_REFINER if self.part == "refiner" else SDXL]
        return self.ref if self.ref and self.ref.kind == "hub" else None

    @property
    def is_here(self) -> bool:
        """Whether this machine needs no hub for it."""
        repository = self.repository
        if repository is None:
            return self.ref is not None
        snapshot = cached_snapshot(repository.hub_id, repository.revision)
        if snapshot is None:
            return False
        if repository != self.ref:
            return snapshot.has_settings()
        return snapshot.has(self.part, self.dtype)


def needs_of(batch: Batch) -> list[Need]:
    """The models of its cells, each once. Very large batches are looked at in part."""
    needs = (need for cell in _some_cells(batch) for need in _of_cell(cell, batch))
    return list(dict.fromkeys(needs))


def pinned(needs: Iterable[Need], batch: Batch) -> list[Need]:
    """With the references that `batch` has for them by now."""
    return [replace(need, ref=_ref(need.written, batch)) for need in needs]


def check_local(path: Path, needs: Iterable[Need]) -> None:
    """Refuse a folder or file that cannot be loaded as what it is needed for. Reads settings and
    the weights' headers alone. Raises InputFileError."""
    for part, dtype in dict.fromkeys((need.part, need.dtype) for need in needs):
        if path.is_dir():
            check_model_folder(path, part, dtype)
        else:
            check_checkpoint_file(path, part)


def check_on_hub(needs: Iterable[Need], batch: Batch, hub: Hub) -> None:
    """Ask the hub, once for each repository, whether it has what has to come from there. Where
    this machine renders it has to answer, and else the workers may reach it all the same. No
    matter where every picture is stored already. Raises HubError."""
    try:
        for need in needs:
            if need.repository and not _is_known(need, hub):
                _look_at(need, need.repository, hub)
    except HubError:
        if not _all_stored(batch, hub):
            raise


def notes_on_this_machine(needs: Iterable[Need]) -> Iterator[str]:
    """What makes SDXL slow where this machine renders, each a line."""
    if any(need.ref is None or need.ref.kind != "builtin" for need in needs) and not visible_gpus():
        yield f"no NVIDIA GPU is here, and {ON_CPU}"


def notes_on_the_hub(
    needs: Iterable[Need], loras: Iterable[str], *, renders_here: bool
) -> Iterator[str]:
    """A line where what has to come from the hub cannot: models, and `loras` that nothing has
    pinned. It is asked once, with a short time-out. A farm's workers get models themselves, but
    what is not pinned yet."""
    missing = [n for n in needs if not n.is_here and (renders_here or n.ref is None)]
    names = [*map(_hub_name, missing), *filter(None, map(HubName.parse, loras))]
    if not names:
        return
    wanted = ", ".join(dict.fromkeys(name.id for name in names))
    if hub_is_off():
        yield f"HF_HUB_OFFLINE is set, and this machine's cache of the hub lacks {wanted}"
    elif trouble := probe_hub(names[0]):
        yield f"{trouble}; this machine would need from it {wanted}"


def _some_cells(batch: Batch) -> Iterator[Cell]:
    matrix = Matrix(batch)
    for i in range(len(matrix)) if len(matrix) <= LOOKED_AT else _some_numbers(matrix):
        try:
            cell = matrix[i]
        except GridfarmError:  # it fails with its own reason
            continue
        if cell is not None:
            yield cell


def _some_numbers(matrix: Matrix) -> Iterator[int]:
    chance, numbers = random.Random(0), range(len(matrix))
    yield from islice(matrix.numbers(), FIRST)
    yield from chance.sample(numbers, LOOKED_AT)
    for axis, length, stride in zip(matrix.axes, matrix.lengths, matrix.strides, strict=True):
        if any(name in TRAITS and TRAITS[name].reloads == "model" for name in axis.setting_names()):
            for at in islice(cycle(range(length)), OF_EACH_VALUE * length):
                i = chance.choice(numbers)
                yield i + (at - i // stride % length) * stride


def _of_cell(cell: Cell, batch: Batch) -> Iterator[Need]:
    settings, job = cell.settings, cell.job
    used: list[tuple[str, str, Part]] = [("model", settings.model, "base")]
    used += [("vae", settings.vae, "vae")] if job.vae else []
    used += [("refiner.model", settings.refiner_model, "refiner")] if job.refiner else []
    for field, written, part in used:
        yield Need(field, written, part, job.dtype, _ref(written, batch))


def _ref(written: str, batch: Batch) -> ModelRef | None:
    ref = batch.models[written]
    return ModelRef.parse(ref) if ref else None


def _is_known(need: Need, hub: Hub) -> bool:
    """Workers get what gridfarm pins itself, and that is complete."""
    return need.is_here if hub.renders_here else need.repository in BUILTIN_MODELS.values()


def _look_at(need: Need, repository: ModelRef, hub: Hub) -> None:
    name = HubName(repository.hub_id, repository.revision)
    try:
        hub.look_at(name, need.part if repository == need.ref else None, need.dtype)
    except HubError as error:
        if hub.renders_here or not error.away:
            raise
        hub.say(f"note: {error.message}; whether it has this model shows when a worker needs it")


def _hub_name(need: Need) -> HubName:
    if need.repository:
        return HubName(need.repository.hub_id, need.repository.revision)
    return HubName.parse(need.written) or HubName(need.written)


def _all_stored(batch: Batch, hub: Hub) -> bool:
    matrix = Matrix(batch)
    return stored_jobs(matrix, batch.id, hub.store).count == matrix.jobs
