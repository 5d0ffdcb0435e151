"""Models of the Hugging Face hub, brought into its cache before anything is loaded from them.

Only the files that a pipeline reads are downloaded: of the weights the .safetensors, and of
those either the fp16 variant or the plain ones. A repository often has them all, and the
original checkpoint besides. A commit that was downloaded once needs no hub again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from common.assets import hub_errors
from common.errors import BadInput, HubError
from common.job import ModelRef
from common.store import FULL
from worker.assets.downloads import Count, Downloads

Part = Literal["base", "refiner", "vae"]

#: What a refiner takes from its base instead of loading it.
SHARED_WITH_BASE = ("text_encoder_2", "vae")

INDEX, CONFIG = "model_index.json", "config.json"
SETTINGS = (".json", ".txt", ".model")

#: The names that diffusers and transformers look for; a shard has its number behind the variant.
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.safetensors"
)


def download(model: ModelRef, part: Part, dtype: str, downloads: Downloads) -> Path:
    """The folder with the files that `part` in `dtype` is loaded from.

    Raises HubError if the hub cannot give them, BadInput for what is no model's repository.
    """
    folder, sizes = _look(model)
    files = needed_files(sizes, _folders(model, folder, part, sizes), dtype)
    _bring(model, folder, {file: sizes[file] for file in files}, downloads)
    return folder


def download_configs(model: ModelRef, downloads: Downloads) -> Path:
    """The folder with all settings and tokenizers of a pipeline, but no weights."""
    folder, sizes = _look(model)
    _bring(model, folder, {f: sizes[f] for f in sizes if f.endswith(SETTINGS)}, downloads)
    return folder


def needed_files(files: Iterable[str], folders: Iterable[str], dtype: str) -> list[str]:
    """Of the repository's `files` those in `folders` ("" is the root) that a load in `dtype`
    reads: as `from_pretrained` chooses them, a folder without fp16 files is read in full."""
    needed = []
    for folder in folders:
        inside = [file for file in files if file.rpartition("/")[0] == folder]
        weights = {file: WEIGHTS.fullmatch(file.rpartition("/")[2]) for file in inside}
        variants = {file: match["variant"] for file, match in weights.items() if match}
        variant = "fp16" if dtype == "fp16" and "fp16" in variants.values() else None
        needed += [file for file in inside if file.endswith(SETTINGS)]
        needed += [file for file, of in variants.items() if of == variant]
    return needed


def _folders(model: ModelRef, folder: Path, part: Part, files: Iterable[str]) -> list[str]:
    """The parts of a pipeline; a VAE may be a repository of its own or a pipeline's part."""
    if part == "vae":
        roots = [file for file in files if WEIGHTS.fullmatch(file)]
        return [""] if CONFIG in files and roots else ["vae"]
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_bytes())
        parts = {name for name, of in index.items() if isinstance(of, list) and of[0]}
    except (OSError, ValueError, AttributeError, IndexError) as error:
        raise BadInput(
            f"the model {model} cannot be loaded: it has no usable {INDEX}",
            hint="it takes a complete SDXL in diffusers' folder layout; of a repository with a "
            "checkpoint alone, download the .safetensors and name the local file",
        ) from error
    return sorted(parts - set(SHARED_WITH_BASE if part == "refiner" else ()))


def _look(model: ModelRef) -> tuple[Path, dict[str, int]]:
    """The repository's folder in the cache, and the size of each file that the hub has.

    Without a hub, and without a list from before, the files that are there."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    with _loading(model):
        folder = Path(
            snapshot_download(model.hub_id, revision=model.revision, allow_patterns=[INDEX, CONFIG])
        )
        try:
            tree = get_cached_repo_tree(model.hub_id, revision=model.revision)
        except CachedRepoTreeNotFoundError:
            return folder, dict.fromkeys(_files_in(folder), 0)
        return folder, {file.path: file.size for file in tree}


def _files_in(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _bring(model: ModelRef, folder: Path, sizes: dict[str, int], downloads: Downloads) -> None:
    from huggingface_hub import snapshot_download

    missing = {file: size for file, size in sizes.items() if not (folder / file).exists()}
    if not missing:
        return
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
        return HubError(
            f"the model {model} cannot be loaded from the hub: {' '.join(text.split())[:300]}",
            hint="check the worker's network, and HF_TOKEN if the model is gated",
        )

    return hub_errors(explain)
