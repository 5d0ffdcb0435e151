"""`python -m tests.tiny_world.evaluate FOLDER`: how often a base draws what it is told.

First how often drawn pictures are correct once they went through the VAE, which is the most that
a base can reach. Then, for each guidance scale, the share of correct pictures with its 95%
interval, and of single words: on combinations that were trained, on those that were held out, on
pairs, and in either style. With `--refiner`, that of the same scenes and seeds with a refiner for
the last steps, and how far the two lie apart. Last, how long a picture takes on one core.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

from tests.tiny_world.judge import correct, verdict
from tests.tiny_world.shares import change, wilson
from worker.tiny.world.captions import caption
from worker.tiny.world.drawing import draw
from worker.tiny.world.scene import STYLES, Scene, combinations, pair, single

GUIDANCE = (1.0, 2.0, 3.0, 5.0, 7.5)
STEPS, BATCH = 25, 20
KINDS = ("trained", "held out", "pairs", *STYLES)
#: The share of the steps after which the refiner takes over.
TAKES_OVER = 0.8

#: Of the picture that is timed.
REPEATS = 5


def scenes(kind: str, count: int) -> list[Scene]:
    """Seeded: `trained`, `held out`, `pairs`, or trained ones in a style (`outline` has those of
    `trained`)."""
    rng = np.random.default_rng([7, len(kind)])
    if kind in STYLES:
        return [replace(single(rng), style=kind) for _ in range(count)]
    if kind == "pairs":
        return [pair(rng) for _ in range(count)]
    held = combinations(held=kind == "held out")
    return [single(rng, held[rng.integers(len(held))]) for _ in range(count)]


def base(folder: Path) -> StableDiffusionXLPipeline:
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def refiner(folder: Path, pipe: StableDiffusionXLPipeline) -> StableDiffusionXLImg2ImgPipeline:
    """With the base's VAE and second text encoder, which the folder need not have."""
    found = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder,
        vae=pipe.vae,
        text_encoder_2=pipe.text_encoder_2,
        tokenizer_2=pipe.tokenizer_2,
        dtype=torch.float32,
    )
    found.set_progress_bar_config(disable=True)
    return found


def pictures(
    pipe: StableDiffusionXLPipeline,
    wishes: list[Scene],
    guidance: float,
    second: StableDiffusionXLImg2ImgPipeline | None = None,
) -> list[np.ndarray]:
    """One 128-pixel picture a scene, from seeds no training has seen; the `second` pipeline, if
    there is one, takes over at TAKES_OVER."""
    drawn: list[np.ndarray] = []
    for first in range(0, len(wishes), BATCH):
        prompts = [caption(wish) for wish in wishes[first : first + BATCH]]
        drawn.extend(_batch(pipe, prompts, 50_000 + first, guidance, second))
    return [(picture * 255 + 0.5).astype(np.uint8) for picture in drawn]


def _batch(
    pipe: StableDiffusionXLPipeline,
    prompts: list[str],
    seed: int,
    guidance: float,
    second: StableDiffusionXLImg2ImgPipeline | None = None,
) -> np.ndarray:
    """From `seed` and those behind it; (n, 128, 128, 3) from 0 to 1."""
    told = {"prompt": prompts, "guidance_scale": guidance, "num_inference_steps": STEPS}
    seeds = range(seed, seed + len(prompts))
    first = {
        "height": 128,
        "width": 128,
        "generator": [torch.Generator().manual_seed(seed) for seed in seeds],
    }
    if second is None:
        return pipe(**told, **first, output_type="np").images
    latents = pipe(**told, **first, output_type="latent", denoising_end=TAKES_OVER).images
    return second(**told, image=latents, output_type="np", denoising_start=TAKES_OVER).images


def decoded(pipe: StableDiffusionXLPipeline, wishes: list[Scene]) -> Iterator[np.ndarray]:
    """The scenes as the world draws them, to latents and back."""
    for number, wish in enumerate(wishes):
        picture = torch.from_numpy(draw(wish, np.random.default_rng([8, number])))
        with torch.no_grad():
            seen = pipe.vae.encode(picture.permute(2, 0, 1)[None] * 2 - 1).latent_dist.mode()
            back = pipe.vae.decode(seen).sample[0].permute(1, 2, 0)
        yield ((back / 2 + 0.5).clip(0, 1) * 255 + 0.5).numpy().astype(np.uint8)


def judged(drawn: Iterable[np.ndarray], wishes: list[Scene]) -> list[dict[str, bool]]:
    return [verdict(picture, wish) for picture, wish in zip(drawn, wishes, strict=True)]


def row(verdicts: list[dict[str, bool]]) -> str:
    """Share correct, its interval, then each word's share."""
    right, count = sum(map(correct, verdicts)), len(verdicts)
    words = Counter(word for words in verdicts for word, right in words.items() if right)
    low, high = wilson(right, count)
    each = ", ".join(f"{word} {words[word] / count:.2f}" for word in verdicts[0])
    return f"{right / count:.3f} ({low:.2f} to {high:.2f})  {each}"


def change_row(before: list[dict[str, bool]], after: list[dict[str, bool]]) -> str:
    """How far the shares correct lie apart, and how likely that is by chance."""
    seen = change(list(map(correct, before)), list(map(correct, after)))
    return f"{seen.difference:+.3f} ({seen.low:+.3f} to {seen.high:+.3f}), p {seen.p:.3g}"


def seconds(pipe: StableDiffusionXLPipeline) -> str:
    """What a picture takes on one core, once warm."""
    torch.set_num_threads(1)
    prompt, walls, cores = [caption(scenes("trained", 1)[0])], [], []
    for _ in range(REPEATS + 1):
        wall, core = perf_counter(), process_time()
        _batch(pipe, prompt, 1, 5.0)
        walls.append(perf_counter() - wall)
        cores.append(process_time() - core)
    return (
        f"one core, 128 pixels, {STEPS} steps, guidance 5: best of {REPEATS} {min(walls[1:]):.2f} s"
        f" a picture, median {median(walls[1:]):.2f} s (of the core's time {min(cores[1:]):.2f}"
        f" and {median(cores[1:]):.2f} s)"
    )


def main(options: Namespace) -> None:
    torch.set_num_threads(options.threads)
    pipe = base(options.folder)
    second = refiner(options.refiner, pipe) if options.refiner else None
    for kind in KINDS:
        wishes = scenes(kind, options.count)
        print(f"through the VAE {kind:8}", row(judged(decoded(pipe, wishes), wishes)), flush=True)
    for scale in options.guidance:
        for kind in KINDS:
            where, wishes = f"guidance {scale:<4} {kind:8}", scenes(kind, options.count)
            alone = judged(pictures(pipe, wishes, scale), wishes)
            print(where, row(alone), flush=True)
            if second:
                both = judged(pictures(pipe, wishes, scale, second), wishes)
                print(where, row(both), "with the refiner")
                print(where, change_row(alone, both), "by the refiner", flush=True)
    print(seconds(pipe))


def arguments() -> Namespace:
    parser = ArgumentParser("python -m tests.tiny_world.evaluate", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="the base, in the hub's layout")
    add("--count", type=int, default=200, help="pictures of each kind (%(default)s)")
    add("--guidance", type=lambda text: [float(number) for number in text.split(",")],
        default=GUIDANCE, metavar="1,2,…")  # fmt: skip
    add("--refiner", type=Path, metavar="FOLDER", help="a refiner, compared with the base alone")
    add("--threads", type=int, default=2, help="torch's, but for the timing (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main(arguments())
