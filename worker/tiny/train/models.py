"""The parts of the tiny SDXL, untrained: real diffusers and transformers classes."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from worker.tiny.train.tokenizer import numbered

VAE_SCALE = 0.13025
#: Channels of either text encoder; the base's UNet attends to both side by side.
WIDTH = 64

TIME_ID_WIDTH = 8


def vae() -> AutoencoderKL:
    """Four levels, so one latent is 8 × 8 pixels."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=128,
        scaling_factor=VAE_SCALE,
        force_upcast=True,
        mid_block_add_attention=False,
    )


def base_unet() -> UNet2DConditionModel:
    """Attends to both text encoders; is told two sizes and a corner."""
    return _unet(2 * WIDTH, time_ids=6)


def refiner_unet() -> UNet2DConditionModel:
    """Attends to the second text encoder; is told an aesthetic score instead of the second size."""
    return _unet(WIDTH, time_ids=5)


def _unet(cross_attention_dim: int, time_ids: int) -> UNet2DConditionModel:
    """Attends at the lower level only. `sample_size` is in latents, for pictures of 128 pixels."""
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 96),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=4,  # diffusers takes it for the number of heads
        cross_attention_dim=cross_attention_dim,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=WIDTH + time_ids * TIME_ID_WIDTH,
    )
    # On a CPU plain matrices train faster than the fused attention does.
    unet.set_attn_processor(AttnProcessor())
    return unet


def text_encoders() -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """SDXL reads the last layer but one of each, and the second one's projection."""
    first = CLIPTextModel(_text_config("quick_gelu"))
    second = CLIPTextModelWithProjection(_text_config("gelu"))
    for encoder in (first, second):
        # CLIP starts embeddings so small that a short training would not tell words apart.
        with torch.no_grad():
            encoder.get_input_embeddings().weight *= 15
    return first, second


def _text_config(activation: str) -> CLIPTextConfig:
    tokens, _ = numbered()
    return CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act=activation,
        max_position_embeddings=77,
        bos_token_id=tokens["<|startoftext|>"],
        eos_token_id=tokens["<|endoftext|>"],
        pad_token_id=1,
        attn_implementation="eager",
    )


def scheduler() -> EulerDiscreteScheduler:
    """With the config of stabilityai/stable-diffusion-xl-base-1.0."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        interpolation_type="linear",
        prediction_type="epsilon",
        steps_offset=1,
        timestep_spacing="leading",
    )


def quiet_start(model: nn.Module) -> None:
    """Every residual branch starts as its bias alone, a deep network thus as a shallow one."""
    for name, weight in model.named_parameters():
        if name.endswith(("conv2.weight", "proj_out.weight", "proj_out.bias")):
            nn.init.zeros_(weight)
