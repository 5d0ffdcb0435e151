"""What a training that runs to its end may still have got wrong: formulas, and how parts begin."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from common.job import TINY_FOLDER
from worker.tiny.train.base import LAYOUT, SNR_LIMIT, denoising_loss
from worker.tiny.train.latents import Learnt
from worker.tiny.train.loop import WARM_UP, rate_share
from worker.tiny.train.models import TIME_ID_WIDTH, VAE_SCALE, WIDTH
from worker.tiny.train.muon import orthogonal
from worker.tiny.train.refiner import Polisher
from worker.tiny.train.vae import Autoencoder


@pytest.fixture
def shipped() -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_pretrained(TINY_FOLDER / "base", dtype=torch.float32)


def learnt(count: int) -> Learnt:
    """Empty pictures without a caption, told SDXL's six sizes."""
    tokens = torch.full((count, 77), 5)
    told = torch.tensor([[128.0, 96, 8, 16, 128, 128]]).expand(count, 6)
    return Learnt(torch.zeros(count, 4, 16, 16), tokens, tokens, torch.zeros(count, dtype=bool),
                  told, torch.full((count,), 6.0))  # fmt: skip


def test_the_vae_that_is_saved_does_what_was_trained() -> None:
    """Latents times `scaling_factor` are the normalised ones, and it draws the same from them."""
    torch.manual_seed(0)
    model, pictures = Autoencoder(), torch.rand(4, 3, 64, 64) * 2 - 1
    for weight in (model.vae.quant_conv.weight, model.vae.post_quant_conv.weight):
        torch.nn.init.normal_(weight)
    with torch.no_grad():
        model.encode(pictures)
        latents = model.eval().encode(pictures)
        drawn = model.decode(latents)
        folded = model.folded()
        seen = folded.encode(pictures).latent_dist
        again = folded.decode(seen.mode()).sample
    assert latents.std() > 0.1
    torch.testing.assert_close(seen.mode() * VAE_SCALE, latents, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(again, drawn, rtol=1e-3, atol=1e-4)
    assert seen.std.max() < 1e-6


def test_the_refiner_starts_as_the_base_that_is_told_nothing_else(
    shipped: StableDiffusionXLPipeline,
) -> None:
    """Its prediction is that of the base without the first text encoder and the target size."""
    polisher, of = Polisher(shipped), learnt(2)
    noisy, times = torch.randn(2, 4, 16, 16), torch.tensor([40, 300])
    with torch.no_grad():
        shipped.unet.add_embedding.linear_1.weight[:, WIDTH + 4 * TIME_ID_WIDTH :] = 0
        text = shipped.text_encoder_2(of.tokens_2, output_hidden_states=True)
        states = torch.nn.functional.pad(text.hidden_states[-2], (WIDTH, 0))
        told = {"text_embeds": text.text_embeds, "time_ids": of.told}
        wanted = shipped.unet(noisy, times, states, added_cond_kwargs=told).sample
        torch.testing.assert_close(polisher(noisy, times, of), wanted)


def signal(times: torch.Tensor) -> torch.Tensor:
    """SDXL's share of the picture in its noisy one, squared."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)[times]


@pytest.mark.parametrize("until", [200, 1000])
def test_an_error_weighs_what_min_snr_says(until: int) -> None:
    """An error of 1 everywhere costs the mean weight, at timesteps all the way up to `until`."""
    seen: list[int] = []

    def one_too_much(noisy: torch.Tensor, times: torch.Tensor, _: Learnt) -> torch.Tensor:
        seen.extend(times.tolist())
        noise = noisy / (1 - signal(times)).sqrt()[:, None, None, None]  # the pictures are empty
        return noise.float() + 1

    torch.manual_seed(0)
    loss = denoising_loss(one_too_much, learnt(64), until)
    assert len(set(seen)) == 64
    assert max(seen) < until <= max(seen) + until / 32
    snr = signal(torch.tensor(seen)) / (1 - signal(torch.tensor(seen)))
    weights = [min(ratio + LAYOUT, SNR_LIMIT) / ratio for ratio in snr.tolist()]
    assert float(loss) == pytest.approx(sum(weights) / 64, rel=1e-3)


def test_a_step_of_muon_goes_as_far_in_every_direction() -> None:
    torch.manual_seed(0)
    for shape in ((8, 8), (4, 30), (30, 4)):
        matrix = torch.randn(*shape) * torch.logspace(-1.5, 0, shape[1])
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        made = orthogonal(matrix)
        lengths = torch.linalg.svdvals(made)
        assert 0.4 < lengths.min() <= lengths.max() < 1.3, lengths
        assert torch.diag(left.T @ made @ right.T).min() > 0.4, "the directions are the matrix's"


def test_rates_rise_and_fall() -> None:
    rates = [rate_share(step, 1000) for step in range(1000)]
    top = rates.index(max(rates))
    assert top in (WARM_UP - 1, WARM_UP)
    assert rates[0] == 1 / WARM_UP
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[500] == pytest.approx(0.505)
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)
    assert rates[top:] == sorted(rates[top:], reverse=True)
