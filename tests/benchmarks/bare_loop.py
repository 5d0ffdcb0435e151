"""The rival: the same jobs in one process with diffusers and compel alone, as a notebook has
them, each picture saved as PNG. Prints one JSON line: when each picture was on disk.

    python -m tests.benchmarks.bare_loop FOLDER JOBS.json [--cache-prompts]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from compel import Compel, ReturnedEmbeddingsType
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

PENULTIMATE = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED


def main(folder: Path, jobs: list[dict[str, Any]], *, cache_prompts: bool) -> list[float]:
    torch.set_num_threads(1)
    base = StableDiffusionXLPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, add_watermarker=False
    )
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder / "refiner", dtype=torch.float32, add_watermarker=False,
        text_encoder_2=base.text_encoder_2, vae=base.vae,
    )  # fmt: skip
    base.load_lora_weights(folder, weight_name="wrong.safetensors", adapter_name="wrong")
    for pipe in (base, refiner):
        pipe.set_progress_bar_config(disable=True)
    on_base = Compel(
        tokenizer=[base.tokenizer, base.tokenizer_2],
        text_encoder=[base.text_encoder, base.text_encoder_2],
        returned_embeddings_type=PENULTIMATE,
        requires_pooled=[False, True],
    )
    on_refiner = Compel(
        tokenizer=base.tokenizer_2, text_encoder=base.text_encoder_2,
        returned_embeddings_type=PENULTIMATE, requires_pooled=True,
    )  # fmt: skip
    known: dict[Any, Any] = {}

    def encode(compel: Compel, prompt: str) -> Any:
        key = (id(compel), prompt)
        if key not in known or not cache_prompts:
            known[key] = compel(prompt)
        return known[key]

    def embeddings(compel: Compel, job: dict[str, Any]) -> dict[str, Any]:
        names = ("prompt_embeds", "pooled_prompt_embeds")
        found = dict(zip(names, encode(compel, job["prompt"]), strict=True))
        if (negative := job.get("negative_prompt")) is not None:
            pair = zip(names, encode(compel, negative), strict=True)
            found |= {f"negative_{name}": tensor for name, tensor in pair}
        return found

    written = []
    for number, job in enumerate(jobs):
        if job.get("loras"):
            base.enable_lora()
        else:
            base.disable_lora()
        seed, share = int(job["seed"]), job["high_noise_frac"]
        common = {"num_inference_steps": job["steps"], "guidance_scale": job["guidance_scale"]}
        latents = base(
            **embeddings(on_base, job), **common, width=job["width"], height=job["height"],
            generator=torch.Generator().manual_seed(seed), denoising_end=share,
            output_type="latent",
        ).images  # fmt: skip
        image = refiner(
            **embeddings(on_refiner, job), **common, image=latents, denoising_start=share,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]  # fmt: skip
        image.save(folder / f"bare-{number}.png")
        written.append(time.time())
    return written


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(
            main(
                Path(sys.argv[1]),
                json.loads(Path(sys.argv[2]).read_text()),
                cache_prompts="--cache-prompts" in sys.argv,
            )
        )
    )
