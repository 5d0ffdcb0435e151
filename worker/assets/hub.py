"""Models of the Hugging Face hub, brought into its cache before anything is loaded from them.

Only the files that a pipeline reads are downloaded: of the weights the .safetensors, and of
those either the fp16 variant or the plain ones. A repository often has them all, and the
original checkpoint besides. A commit that was downloaded once needs no hub again, and a hub that
cannot be reached is noticed within seconds.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from common.assets import (
    CONFIG,
    INDEX,
    SETTINGS,
    Part,
    Snapshot,
    ask_hub,
    cached_snapshot,
    disk_trouble,
    folders_of,
    hub_cache,
    hub_errors,
    lacking,
    needed_files,
)
from common.errors import BadInput, HubError
from common.job import ModelRef
from common.store import FULL
from worker.assets.downloads import Count, Downloads


def download(model: ModelRef, part: Part, dtype: str, downloads: Downloads) -> Path:
    """The folder with the files that `part` in `dtype` is loaded from.

    Raises HubError if the hub cannot give them, BadInput for what is no model's repository.
    """
    snapshot = _look(model)
    index = {} if part == "vae" else _index(model, snapshot)
    if flaw := lacking(part, snapshot.files, index, dtype):
        raise _unusable(model, flaw) if snapshot.listed else _unreachable(model, flaw)
    files = needed_files(snapshot.files, folders_of(part, snapshot.files, index), dtype)
    _bring(model, snapshot, files, downloads)
    return snapshot.folder


def download_configs(model: ModelRef, downloads: Downloads) -> Path:
    """The folder with all settings and tokenizers of a pipeline, but no weights."""
    snapshot = _look(model)
    _bring(model, snapshot, [f for f in snapshot.files if f.endswith(SETTINGS)], downloads)
    return snapshot.folder


def _index(model: ModelRef, snapshot: Snapshot) -> Any:
    try:
        return snapshot.index
    except (OSError, ValueError) as error:
        raise _unusable(model, f"it has no usable {INDEX}") from error


def _unusable(model: ModelRef, why: str) -> BadInput:
    return BadInput(
        f"the model {model} cannot be loaded: {why}",
        hint="it takes a complete SDXL in diffusers' folder layout; of a repository with a "
        "checkpoint alone, download the .safetensors and name the local file",
    )


def _unreachable(model: ModelRef, why: str) -> HubError:
    return HubError(
        f"the model {model} cannot be loaded from the hub: it cannot be reached, and of what is "
        f"here {why}",
        hint="check the worker's network",
    )


def _look(model: ModelRef) -> Snapshot:
    """The repository's folder in the cache, and what the hub has of it. Without a hub, and without
    a list from before, what is there."""
    from huggingface_hub import snapshot_download

    here = cached_snapshot(model.hub_id, model.revision)
    if here and here.listed:
        return here
    try:
        with _loading(model):
            ask_hub(model.hub_id, model.revision)
    except HubError:
        if here:
            return here
        raise
    with _loading(model):
        patterns = [INDEX, CONFIG]
        folder = snapshot_download(model.hub_id, revision=model.revision, allow_patterns=patterns)
        return Snapshot.at(Path(folder), model.hub_id, model.revision)


def _bring(model: ModelRef, snapshot: Snapshot, files: list[str], downloads: Downloads) -> None:
    from huggingface_hub import snapshot_download

    missing = {f: snapshot.files[f] for f in files if not (snapshot.folder / f).exists()}
    if not missing:
        return
    with _loading(model):
        ask_hub(model.hub_id, model.revision)
    with (
        _loading(model),
        downloads.follow(model.hub_id, sum(missing.values())) as count,
    ):
        snapshot_download(
            model.hub_id,
            revision=model.revision,
            allow_patterns=list(missing),
            tqdm_class=_bar(count),
        )


def _bar(count: Count) -> Any:
    """A progress bar for huggingface_hub that draws nothing and tells `count` of the bytes.

    It makes three: of files, of bytes from the network, and of bytes that are there. Plain HTTP
    tells the last alone.
    """
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            self._counts = options.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*args, **options | {"disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            if self._counts:
                count(int(n or 0))

    return Bar


def _loading(model: ModelRef) -> AbstractContextManager[None]:
    def explain(error: Exception, text: str) -> HubError:
        if isinstance(error, OSError) and error.errno in FULL:
            raise error
        if trouble := disk_trouble(error):
            return HubError(
                f"the model {model} cannot be kept in {hub_cache()}: {trouble}",
                hint="set the worker's HF_HOME to a folder that can be written",
            )
        return HubError(
            f"the model {model} cannot be loaded from the hub: {' '.join(text.split())[:300]}",
            hint="check the worker's network, and HF_TOKEN if the model is gated",
        )

    return hub_errors(explain)
