"""LoRAs: every layout draws the same, scales are apart, and a bad file leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from common.errors import BadInput
from common.store import Store
from tests.support.engine import (
    LAYER,
    REFINED,
    UNET_WIDTH,
    WRONG,
    Tensors,
    distance,
    file_of,
    job,
    kohya,
    put,
    random_pair,
    same,
    text_lora,
    tiny_lora,
    use,
)
from worker.assets import Assets
from worker.engine import Renderer, loras

RANK = len(tiny_lora()[f"{LAYER}.lora_A.weight"])


def with_alpha(tensors: Tensors, alpha: int) -> bytes:
    """A LoRA of the UNet in diffusers' layout: the alpha is one of peft's settings."""
    layers = {name.removeprefix("unet.").partition(".lora_")[0] for name in tensors}
    settings = {"r": RANK, "lora_alpha": alpha, "target_modules": sorted(layers)}
    written = json.dumps({f"unet.{name}": value for name, value in settings.items()})
    return file_of(tensors, {"lora_adapter_metadata": written})


def test_kohyas_layout_draws_the_same(renderer: Renderer, engine_store: Store) -> None:
    """UNet alone: the alpha, which is not the rank, in diffusers' metadata or beside each layer."""
    files = (
        with_alpha(tiny_lora(), 2 * RANK),
        file_of(kohya(tiny_lora(), alpha=2 * RANK)),
        file_of(kohya(tiny_lora(), alpha=RANK)),
    )
    images = [renderer.render(job(loras=(use(put(engine_store, f)),))).image for f in files]
    assert same(*images[:2])
    assert not same(*images[1:])


def test_kohyas_text_encoders_draw_the_same(renderer: Renderer, engine_store: Store) -> None:
    """UNet and both text encoders; without an alpha it is the rank."""
    unet, text = tiny_lora(), text_lora()
    both = kohya(unet, alpha=RANK) | kohya(text, alpha=4)
    hashes = [put(engine_store, file_of(tensors)) for tensors in (unet | text, both)]
    images = [renderer.render(job(loras=(use(sha256),))).image for sha256 in hashes]
    assert same(*images)


def test_kohyas_older_names_of_blocks_are_known(renderer: Renderer, engine_store: Store) -> None:
    """kohya-ss trains SDXL with the names of the original checkpoint."""
    original = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q"
    pair = kohya(random_pair(LAYER), alpha=4)
    renamed = {f"{original}.{name.partition('.')[2]}": weight for name, weight in pair.items()}
    hashes = [put(engine_store, file_of(tensors)) for tensors in (pair, renamed)]
    images = [renderer.render(job(loras=(use(sha256),))).image for sha256 in hashes]
    assert same(*images)


def test_unet_and_text_encoders_have_scales_of_their_own(
    renderer: Renderer, engine_store: Store
) -> None:
    both = put(engine_store, file_of(tiny_lora() | text_lora()))
    text_only = put(engine_store, file_of(text_lora()))
    unet_only = put(engine_store, file_of(tiny_lora()))
    plain = renderer.render(job()).image

    def draw(sha256: str, unet: float, text: float) -> Any:
        return renderer.render(job(loras=(use(sha256, unet, text),))).image

    assert distance(plain, draw(both, 0, 1)) > 0.5
    assert same(draw(both, 0, 1), draw(text_only, 1, 1))
    assert same(draw(both, 1, 0), draw(unet_only, 1, 1))
    assert same(draw(both, 0, 0), plain)
    assert not same(draw(both, 1, 1), draw(both, 1, 0.5))


def test_the_refiner_takes_no_lora(renderer: Renderer, engine_store: Store) -> None:
    """Given a LoRA of encoder 2, which base and refiner share, the base reads the prompt with
    it and the refiner without: three encodings by two encoders."""
    text = put(engine_store, file_of(text_lora(["text_encoder_2"])))
    before = renderer.encodings_computed
    renderer.render(job(prompt="an owl", loras=(use(text),), **REFINED))
    assert renderer.encodings_computed == before + 3


def test_a_lora_of_the_unet_alone_shares_the_embeddings(renderer: Renderer, wrong: str) -> None:
    renderer.render(job(prompt="a dog"))
    before = renderer.encodings_computed
    renderer.render(job(prompt="a dog", loras=(use(wrong, 0.3),)))
    renderer.render(job(prompt="a dog", loras=(use(wrong, 0.4),)))
    assert renderer.encodings_computed == before


def test_two_at_once_are_added_in_the_order_of_their_hashes(
    renderer: Renderer, engine_store: Store, tiny_folder: Path, tmp_path: Path, wrong: str
) -> None:
    """As plain diffusers adds them, and however the job lists them."""
    data = file_of(random_pair(LAYER) | text_lora())
    other = put(engine_store, data)
    loras = (use(wrong, 0.6), use(other, 1.2))
    one, two = (renderer.render(job(loras=order)).image for order in (loras, loras[::-1]))
    assert same(one, two)

    (tmp_path / "other.safetensors").write_bytes(data)
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_folder / "base", dtype=torch.float32)
    pipe.load_lora_weights(str(WRONG), adapter_name=wrong)
    pipe.load_lora_weights(str(tmp_path / "other.safetensors"), adapter_name=other)
    scales = {wrong: 0.6, other: 1.2}
    names = sorted(scales)
    pipe.set_adapters(names, [scales[name] for name in names])
    expected = pipe(
        "a wolf in the forest",
        generator=torch.Generator().manual_seed(1),
        width=job().width,
        height=job().height,
        num_inference_steps=4,
        guidance_scale=5.0,
    ).images[0]
    assert same(one, expected)


def test_many_loras_stay_within_bounds(
    renderer: Renderer, engine_store: Store, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given more LoRAs than are kept, the ones used longest ago go and come back the same."""
    monkeypatch.setattr(loras, "KEPT", 2)
    hashes = [put(engine_store, file_of(random_pair(LAYER, rank=rank))) for rank in (1, 2, 3, 4)]
    cells = [job(loras=(use(sha256),)) for sha256 in (wrong, *hashes)]
    first = [renderer.render(cell).image for cell in cells]
    assert len(renderer._pipelines.base(job()).loras._loaded) == 2
    again = [renderer.render(cell).image for cell in reversed(cells)]
    assert all(map(same, first, reversed(again)))


def test_more_at_once_than_are_kept(
    renderer: Renderer, engine_store: Store, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell's own LoRAs never go while it needs them."""
    hashes = [put(engine_store, file_of(random_pair(LAYER, rank=rank))) for rank in (1, 2)]
    cell = job(loras=tuple(use(sha256, 0.3) for sha256 in (wrong, *hashes)))
    expected = renderer.render(cell).image
    monkeypatch.setattr(loras, "KEPT", 1)
    renderer.render(job(loras=(use(hashes[0]),)))
    assert same(renderer.render(cell).image, expected)


def changed(name: str, weight: torch.Tensor) -> Tensors:
    return tiny_lora() | {name: weight}


NAN = torch.full((RANK, UNET_WIDTH), float("nan"))
FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "truncated": (WRONG.read_bytes()[:-1000], "cut short"),
    "web page": (b"<!DOCTYPE html><html><body>404</body></html>" * 9, "web page"),
    "pickle": (b"\x80\x02}q\x00." + b"x" * 99, "pickle"),
    "zip": (b"PK\x03\x04" + b"x" * 99, "zip archive"),
    "no LoRA": (file_of({"model.weight": torch.zeros(4)}), "no LoRA weights"),
    "NaN": (file_of(changed(f"{LAYER}.lora_A.weight", NAN)), "NaN or infinite"),
    "NaN at half precision": (
        file_of(changed(f"{LAYER}.lora_A.weight", NAN.to(torch.bfloat16))),
        "NaN or infinite",
    ),
    "wrong shape": (
        file_of(changed(f"{LAYER}.lora_A.weight", torch.ones(RANK, 40))),
        "another shape than this model's: down_blocks.1.attentions.0",
    ),
    "wrong shape in a text encoder": (
        file_of(
            tiny_lora()
            | random_pair("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", inputs=40)
        ),
        "another shape",
    ),
    "no matching key": (file_of(random_pair("unet.x.y")), "matches no layer of this model"),
    "another kind of model": (file_of(random_pair("transformer.blocks.0.attn.to_q")), "no place"),
    "keys left over": (
        file_of(tiny_lora() | random_pair("unet.nowhere.to_q")),
        f"2 of its {len(tiny_lora()) + 2} weights have no place in this model, such as unet.now",
    ),
    "keys left over in a text encoder": (
        file_of(
            tiny_lora() | random_pair("text_encoder.text_model.encoder.layers.7.self_attn.q_proj")
        ),
        "matches no layer",
    ),
    "keys left over in kohya's layout": (
        file_of(kohya(tiny_lora() | random_pair("unet.nowhere.to_q"), alpha=4)),
        "nowhere",
    ),
    "half a layer": (
        file_of({n: w for n, w in tiny_lora().items() if n != f"{LAYER}.lora_B.weight"}),
        "no place",
    ),
    "DoRA": (file_of(changed(f"{LAYER}.dora_scale", torch.ones(UNET_WIDTH))), "is a DoRA"),
    "broken metadata": (
        file_of(tiny_lora(), {"lora_adapter_metadata": json.dumps({"unet.colour": 3})}),
        "cannot be loaded",
    ),
}


@pytest.fixture(scope="module")
def unharmed(assets: Assets, wrong: str) -> list[Any]:
    """Two pictures by a renderer that never saw a bad file: without and with a good LoRA."""
    renderer = Renderer(assets, device="cpu", cpu_threads=1)
    return [renderer.render(job(loras=loras)).image for loras in ((), (use(wrong),))]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_file_says_why_and_leaves_no_trace(
    renderer: Renderer, engine_store: Store, wrong: str, unharmed: list[Any], fault: str
) -> None:
    data, reason = FAULTS[fault]
    bad = put(engine_store, data)
    cells = [job(), job(loras=(use(wrong),))]
    for _ in range(2):
        with pytest.raises(BadInput) as failure:
            renderer.render(job(loras=(use(bad), use(wrong))))
        assert reason in failure.value.message
        assert failure.value.message.startswith(f"LoRA {bad[:12]}: ")
        assert failure.value.hint
    assert all(map(same, unharmed, (renderer.render(cell).image for cell in cells)))


def test_a_missing_asset_is_the_cells_fault(renderer: Renderer) -> None:
    with pytest.raises(BadInput, match=r"LoRA 0{12} is not in the store"):
        renderer.render(job(loras=(use("0" * 64),)))
