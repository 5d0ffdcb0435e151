"""The files of a model in diffusers' folder layout: which of them a load reads, and what it lacks.

One rule for all who ask: what is refused before a batch is ordered, what a worker downloads, and
what it loads. Names are relative to the folder, with `/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from common.assets.safetensors import read_header
from common.errors import InputFileError

#: What a model serves as.
Part = Literal["base", "refiner", "vae"]
#: A pipeline's parts by the folder's name, each as (library, class).
Index = Mapping[str, Any]

INDEX, CONFIG = "model_index.json", "config.json"
SETTINGS = (".json", ".txt", ".model")

#: What a refiner has from its base instead of loading it.
SHARED_WITH_BASE = ("text_encoder_2", "vae")
#: What a pipeline of SDXL cannot do without, with the usual classes.
_TEXT, _TOKENS = ("transformers", "CLIPTextModel"), ("transformers", "CLIPTokenizer")
_UNET, _VAE = ("diffusers", "UNet2DConditionModel"), ("diffusers", "AutoencoderKL")
_SCHEDULER = ("diffusers", "EulerDiscreteScheduler")
SDXL_PARTS: dict[Part, dict[str, list[str]]] = {
    "base": {
        "unet": [*_UNET],
        "text_encoder": [*_TEXT],
        "text_encoder_2": [*_TEXT],
        "vae": [*_VAE],
        "tokenizer": [*_TOKENS],
        "tokenizer_2": [*_TOKENS],
        "scheduler": [*_SCHEDULER],
    },
    "refiner": {"unet": [*_UNET], "tokenizer_2": [*_TOKENS], "scheduler": [*_SCHEDULER]},
    "vae": {},
}
LIBRARIES = ("diffusers", "transformers")

#: The names that diffusers and transformers look for; a shard has its number behind the variant.
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.(?P<variant>\w+))?"
    r"(?:-(?P<shard>\d+)-of-(?P<shards>\d+))?\.safetensors"
)
PICKLES = (".bin", ".pt", ".ckpt")

WHOLE = "copy the whole folder again, as `save_pretrained` wrote it or as the hub has it"
NO_PICKLES = "gridfarm loads no pickles: save it with safe_serialization=True"


def needed_files(files: Iterable[str], folders: Iterable[str], dtype: str) -> list[str]:
    """Of the model's `files` those in `folders` ("" is the root) that a load in `dtype` reads."""
    files, folders = list(files), list(folders)
    variant = variant_of(files, folders, dtype)
    needed = []
    for folder in folders:
        needed += [file for file in _inside(files, folder) if file.endswith(SETTINGS)]
        needed += _weights(files, folder, variant)
    return needed


def variant_of(files: Iterable[str], folders: Iterable[str], dtype: str) -> Literal["fp16"] | None:
    """diffusers' `variant` for a load in `dtype`: fp16 files where fp16 is wanted, or where a
    part has no others; they are cast. A part without fp16 files is read in full in any case."""
    files = list(files)
    has = [variants for folder in folders if (variants := _variants(files, folder))]
    if dtype == "fp16":
        return "fp16" if any("fp16" in variants for variants in has) else None
    return "fp16" if any("fp16" in found and None not in found for found in has) else None


def folders_of(part: Part, files: Iterable[str], index: Index) -> list[str]:
    """The folders that a load as `part` reads; a VAE may be a model of its own or a part of a
    pipeline."""
    if part == "vae":
        return [""] if vae_alone(files) else ["vae"]
    left_out = SHARED_WITH_BASE if part == "refiner" else ()
    return sorted(name for name in _parts(index) if name not in left_out)


def vae_alone(files: Iterable[str]) -> bool:
    """Whether the folder is a VAE, and not a whole pipeline."""
    files = list(files)
    return CONFIG in files and bool(_variants(files, ""))


def lacking(part: Part, files: Iterable[str], index: Index, dtype: str) -> str:
    """What a load as `part` would miss, in words; "" for nothing. Goes by the names alone."""
    files = list(files)
    if part == "vae":
        [folder] = folders_of(part, files, index)
        return _lacking_model(files, folder, variant_of(files, [folder], dtype))
    if gone := [name for name in SDXL_PARTS[part] if name not in _parts(index)]:
        return f"its {INDEX} names no {gone[0]}"
    folders = folders_of(part, files, index)
    variant = variant_of(files, folders, dtype)
    found = (_lacking_part(files, name, index[name][1], variant) for name in folders)
    return next((flaw for flaw in found if flaw), "")


def files_in(folder: Path) -> list[str]:
    """The names of all files in `folder`, sorted, with those behind links to other folders. A
    link that leads back to where it is met is not followed."""
    return sorted(_files_below(folder, "", ()))


def _files_below(folder: Path, name: str, above: tuple[Path, ...]) -> Iterator[str]:
    """`above` are the folders on the way here, without links."""
    real = folder.resolve()
    if real in above:
        return
    try:
        below = [(entry, entry.is_dir()) for entry in folder.iterdir()]
    except OSError:  # a folder that cannot be read lacks its files, which is said then
        return
    for entry, is_folder in below:
        if is_folder:
            yield from _files_below(entry, f"{name}{entry.name}/", (*above, real))
        elif entry.is_file():
            yield f"{name}{entry.name}"


def check_model_folder(folder: Path, part: Part, dtype: str) -> None:
    """Refuse what cannot be loaded as `part` in `dtype`: files that are missing, cut short or no
    JSON, and what is no SDXL. Reads settings and the weights' headers. Raises InputFileError."""
    files = files_in(folder)
    index = {} if part == "vae" else _index(folder)
    if flaw := lacking(part, files, index, dtype):
        pickled = flaw.endswith(PICKLES)
        raise InputFileError(f"{folder}: {flaw}", hint=NO_PICKLES if pickled else WHOLE)
    for name in needed_files(files, folders_of(part, files, index), dtype):
        if name.endswith(".safetensors"):
            read_header(folder / name)
        elif name.endswith(".json"):
            _json(folder / name)
    if part != "vae" and _json(folder / f"unet/{CONFIG}").get("addition_embed_type") != "text_time":
        raise InputFileError(f"{folder}: is no SDXL", hint="SD 1.5 and 2.x are not SDXL")


def _index(folder: Path) -> Index:
    path = folder / INDEX
    if not path.is_file():
        raise InputFileError(
            f"{folder}: has no {INDEX}",
            hint="name the folder that `save_pretrained` of the whole pipeline wrote",
        )
    index: dict[str, Any] = _json(path)
    for name, found in _parts(index).items():
        if found[0] not in LIBRARIES:
            raise InputFileError(
                f"{path}: names the foreign part {name}, of {str(found[0])[:80]!r}",
                hint="only diffusers' and transformers' own classes are loaded",
            )
    return index


def _json(path: Path) -> dict[str, Any]:
    """Raises InputFileError."""
    found: Any = None
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        pass
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from error
    if not isinstance(found, dict):
        raise InputFileError(f"{path}: is no JSON object", hint=WHOLE)
    return found


def _parts(index: Index) -> dict[str, Any]:
    """Those that are there: a pipeline may be without some, which then are null."""
    pairs = {name: of for name, of in index.items() if isinstance(of, list) and len(of) == 2}
    return {name: of for name, of in pairs.items() if all(isinstance(x, str) for x in of)}


def _lacking_part(files: list[str], name: str, kind: str, variant: str | None) -> str:
    inside = {file.removeprefix(f"{name}/") for file in _inside(files, name)}
    if not inside:
        return f"its folder {name} is missing or empty"
    if "Tokenizer" in kind:
        if "tokenizer.json" in inside or {"vocab.json", "merges.txt"} <= inside:
            return ""
        return f"{name} has neither tokenizer.json nor vocab.json and merges.txt"
    if "Scheduler" in kind:
        config = "scheduler_config.json"
        return "" if config in inside else f"{name}/{config} is missing"
    if "Processor" in kind or "Extractor" in kind:
        return ""
    return _lacking_model(files, name, variant)


def _lacking_model(files: list[str], folder: str, variant: str | None) -> str:
    config = f"{folder}/{CONFIG}".lstrip("/")
    if config not in files:
        return f"{config} is missing"
    weights = _weights(files, folder, variant)
    if not weights:
        pickle = next((f for f in _inside(files, folder) if f.endswith(PICKLES)), "")
        where = folder or "it"
        return f"{where} has no weights but the pickle {pickle}" if pickle else (
            f"{where} has no weights (diffusion_pytorch_model.safetensors or model.safetensors)"
        )  # fmt: skip
    return _lacking_shard(files, weights)


def _lacking_shard(files: list[str], weights: list[str]) -> str:
    """Weights are one file, or shards with an index that says which tensor is where."""
    shards = {file: WEIGHTS.fullmatch(_name(file)) for file in weights}
    if any(match and not match["shard"] for match in shards.values()):
        return ""
    first, match = next(iter(shards.items()))
    assert match
    for number in range(1, int(match["shards"]) + 1):
        wanted = first.replace(f"-{match['shard']}-of-", f"-{number:0{len(match['shard'])}}-of-")
        if wanted not in files:
            return f"{wanted} is missing"
    folder = first.rpartition("/")[0]
    if not any(".safetensors.index." in file for file in _inside(files, folder)):
        return f"{folder or 'it'} has weights in pieces and no .safetensors.index.json"
    return ""


def _variants(files: list[str], folder: str) -> set[str | None]:
    """Those of the weights in `folder`; None is that of plain ones."""
    matches = (WEIGHTS.fullmatch(_name(file)) for file in _inside(files, folder))
    return {match["variant"] for match in matches if match}


def _weights(files: list[str], folder: str, variant: str | None) -> list[str]:
    """The weights in `folder` of the variant, or else the plain ones."""
    wanted = variant if variant in _variants(files, folder) else None
    matches = ((file, WEIGHTS.fullmatch(_name(file))) for file in _inside(files, folder))
    return [file for file, match in matches if match and match["variant"] == wanted]


def _inside(files: Iterable[str], folder: str) -> Iterator[str]:
    return (file for file in files if file.rpartition("/")[0] == folder)


def _name(file: str) -> str:
    return file.rpartition("/")[2]
