"""SDXL's pipelines, loaded by reference and kept on the device.

One base, one refiner and two VAEs stay; a batch is ordered so that models change slowest. As
in the seed author's notebooks, the refiner shares the base's second encoder and its VAE.
"""

from __future__ import annotations

import gc
import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
)

from common.assets import INDEX, Part, files_in, folders_of, variant_of
from common.errors import BadInput
from common.job import Job
from worker.assets import Assets, model_need, needing
from worker.engine.errors import MACHINE_TROUBLE, is_machine_trouble
from worker.engine.loras import Loras
from worker.engine.prompts import TextEncoder

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
VAES_KEPT = 2


@dataclass(frozen=True)
class Base:
    """SDXL's base on the device, with its LoRAs, its own VAE and its own scheduler."""

    ref: str
    dtype: str
    pipe: Any
    loras: Loras
    own_vae: Any
    own_scheduler: Any

    def encoder(self, component: str) -> TextEncoder:
        """`text_encoder` or `text_encoder_2` with the LoRAs that are on in it now."""
        second = component == "text_encoder_2"
        return TextEncoder(
            identity=(self.ref, self.dtype, component, self.loras.active(component)),
            tokenizer=self.pipe.tokenizer_2 if second else self.pipe.tokenizer,
            model=getattr(self.pipe, component),
            pooled=second,
        )


@dataclass(frozen=True)
class Refiner:
    """SDXL's refiner on the device, with its own scheduler."""

    ref: str
    dtype: str
    pipe: Any
    own_scheduler: Any


class Pipelines:
    """Loads what jobs need onto `device`. Not safe for several threads."""

    def __init__(self, assets: Assets, device: str) -> None:
        self._assets = assets
        self._device = device
        self._base: Base | None = None
        self._refiner: Refiner | None = None
        self._vaes: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def base(self, job: Job) -> Base:
        """The job's base with the job's VAE, its LoRAs as they were left.

        Raises BadInput for what is no SDXL, and what `Assets.model` raises.
        """
        if self._base is None or (self._base.ref, self._base.dtype) != (job.model, job.dtype):
            self._drop_base()
            with needing(model_need(job.model, "base", job.dtype)):
                self._base = self._load_base(job.model, job.dtype)
        base = self._base
        base.pipe.vae = self._vae(job.vae, job.dtype) if job.vae else base.own_vae
        # A decode that failed half-way leaves a VAE in the precision it was raised to.
        base.pipe.vae.to(dtype=DTYPES[job.dtype])
        return base

    def refiner(self, job: Job, base: Base) -> Refiner:
        """The job's refiner, sharing encoder and VAE with `base`. Raises as `base` does."""
        assert job.refiner is not None
        key = (job.refiner.model, job.dtype)
        if self._refiner is None or (self._refiner.ref, self._refiner.dtype) != key:
            self._refiner = None
            self._free()
            with needing(model_need(key[0], "refiner", job.dtype, base.ref)):
                self._refiner = self._load_refiner(*key, base)
        for shared in ("tokenizer_2", "text_encoder_2", "vae"):
            setattr(self._refiner.pipe, shared, getattr(base.pipe, shared))
        return self._refiner

    def _load_base(self, ref: str, dtype: str) -> Base:
        pipe = self._load(StableDiffusionXLPipeline, ref, "base", dtype)
        config = pipe.unet.config
        encoders = [pipe.text_encoder, pipe.text_encoder_2]
        widths = [encoder.config.hidden_size for encoder in encoders if encoder is not None]
        if len(widths) < 2 or config.cross_attention_dim != sum(widths) or config.in_channels != 4:
            raise BadInput(
                f"the model {ref} is no SDXL base",
                hint="a refiner goes under `refiner: {model: …}`",
            )
        return Base(ref, dtype, pipe, Loras(pipe, self._assets.lora), pipe.vae, pipe.scheduler)

    def _load_refiner(self, ref: str, dtype: str, base: Base) -> Refiner:
        shared = {"text_encoder_2": base.pipe.text_encoder_2, "vae": base.pipe.vae}
        pipe = self._load(StableDiffusionXLImg2ImgPipeline, ref, "refiner", dtype, **shared)
        if pipe.unet.config.cross_attention_dim != base.pipe.text_encoder_2.config.hidden_size:
            raise BadInput(
                f"the model {ref} is no SDXL refiner for {base.ref}: it does not read the base's "
                "second text encoder alone",
                hint="leave `refiner.model` out to have SDXL's own",
            )
        return Refiner(ref, dtype, pipe, pipe.scheduler)

    def _load(self, kind: Any, ref: str, part: Part, dtype: str, **shared: Any) -> Any:
        source = self._assets.model(ref, part, dtype)
        options = shared | self._settings(source, part)
        with _load_errors(ref):
            _check_index(source)
            pipe = _from(kind, source, part, dtype, add_watermarker=False, **options)
            if getattr(pipe.unet.config, "addition_embed_type", None) != "text_time":
                raise BadInput(f"the model {ref} is no SDXL", hint="SD 1.5 and 2.x are not SDXL")
            if any(len(tokenizer) < 256 for tokenizer in _tokenizers(pipe)):
                raise BadInput(
                    f"the model {ref} has a tokenizer without a vocabulary",
                    hint="its tokenizer folders need tokenizer.json, or vocab.json and merges.txt",
                )
            pipe.set_progress_bar_config(disable=True)
            return pipe.to(self._device)

    def _vae(self, ref: str, dtype: str) -> Any:
        key = (ref, dtype)
        if key not in self._vaes:
            with needing(model_need(ref, "vae", dtype)):
                self._vaes[key] = self._load_vae(ref, dtype)
        self._vaes.move_to_end(key)
        while len(self._vaes) > VAES_KEPT:
            self._vaes.popitem(last=False)
        return self._vaes[key]

    def _load_vae(self, ref: str, dtype: str) -> Any:
        source = self._assets.model(ref, "vae", dtype)
        options = self._settings(source, "vae")
        if options or _is_pipeline(source):
            options["subfolder"] = "vae"
        with _load_errors(ref):
            vae = _from(AutoencoderKL, source, "vae", dtype, **options)
            if vae.config.latent_channels != 4 or len(vae.config.block_out_channels) != 4:
                raise BadInput(f"the VAE {ref} is no VAE for SDXL")
            return vae.to(self._device)

    def _settings(self, source: Path, part: Part) -> dict[str, str]:
        """A checkpoint in one file has none of its own."""
        return {"config": str(self._assets.configs(part))} if source.is_file() else {}

    def _drop_base(self) -> None:
        self._base = None
        if self._refiner is not None:
            self._refiner.pipe.register_modules(text_encoder_2=None, vae=None)
        self._free()

    def _free(self) -> None:
        gc.collect()
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()


def _tokenizers(pipe: Any) -> list[Any]:
    both = (pipe.tokenizer, pipe.tokenizer_2)
    return [tokenizer for tokenizer in both if tokenizer is not None]


def _is_pipeline(folder: Path) -> bool:
    """A VAE may be given by itself or as the folder of a whole pipeline."""
    return not any(folder.glob("diffusion_pytorch_model*"))


def _from(kind: Any, source: Path, part: Part, dtype: str, **options: Any) -> Any:
    options["dtype"] = DTYPES[dtype]
    if source.is_file():
        return kind.from_single_file(str(source), **options)
    options["variant"] = _variant(source, part, dtype)
    return kind.from_pretrained(str(source), use_safetensors=True, **options)


def _variant(folder: Path, part: Part, dtype: str) -> str | None:
    files = files_in(folder)
    index = {} if part == "vae" else json.loads((folder / INDEX).read_bytes())
    return variant_of(files, folders_of(part, files, index), dtype)


def _check_index(source: Path) -> None:
    """A folder's index names the class of each part; only the libraries' own are loaded."""
    if source.is_file():
        return
    index = json.loads((source / INDEX).read_bytes())
    for part in index.values():
        if isinstance(part, list) and part[0] not in (None, "diffusers", "transformers"):
            raise ValueError(f"its model_index.json names the foreign part {part}")


@contextmanager
def _load_errors(ref: str) -> Iterator[None]:
    """Say which model it was."""
    try:
        yield
    except (*MACHINE_TROUBLE, BadInput):
        raise
    except Exception as error:
        if is_machine_trouble(error):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if "meta tensor" in reason:
            # diffusers leaves what a checkpoint lacks without data, and torch cannot move that.
            reason = "it lacks some of the weights"
        raise BadInput(
            f"the model {ref} cannot be loaded: {reason}",
            hint="it takes a complete SDXL in diffusers' folder layout, or a checkpoint file",
        ) from error


def quieten() -> None:
    """The libraries' own bars and advice; what matters is raised."""
    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
