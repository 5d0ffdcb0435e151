"""diffusers' weights under the names of Stability's own code, as SDXL's checkpoints have them.

The opposite of diffusers' own conversion (`diffusers.loaders.single_file_utils`), written from
the layout of the published `sd_xl_base_1.0.safetensors`:

    model.diffusion_model.*                      the UNet: input_blocks, middle_block, output_blocks
    first_stage_model.*                          the VAE
    conditioner.embedders.0.transformer.*        CLIP ViT-L, with transformers' names
    conditioner.embedders.1.model.*              OpenCLIP bigG: q, k and v in one matrix
"""

from __future__ import annotations

import re
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
OPEN_CLIP_OUTSIDE = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


def checkpoint(pipe: Any) -> Tensors:
    """The whole model in one file."""
    return (
        unet(pipe.unet)
        | vae(pipe.vae.state_dict())
        | clip(pipe.text_encoder.state_dict())
        | open_clip(pipe.text_encoder_2.state_dict())
    )


def unet(model: Any) -> Tensors:
    layers = model.config.layers_per_block
    names = {name: _unet_name(name, layers) for name in model.state_dict()}
    attended = {name.rpartition(".1.")[0] for name in names.values() if ".1.norm." in name}
    found = {}
    for name, weight in model.state_dict().items():
        block, upsampler, rest = names[name].partition(".upsampler.")
        # It comes last in its block, behind the attention if there is one.
        place = f"{block}.{1 + (block in attended)}.{rest}" if upsampler else block
        found[f"model.diffusion_model.{place}"] = weight
    return found


def _unet_name(name: str, layers: int) -> str:
    layer, _, kind = name.rpartition(".")
    if layer in OUTSIDE:
        return f"{OUTSIDE[layer]}.{kind}"
    if middle := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        place = 2 * int(middle[2]) + (middle[1] == "attentions")
        return f"middle_block.{place}.{_inside(middle[1], middle[3])}"
    match = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    assert match, name
    block, part, at = int(match[2]), match[3], int(match[4])
    place = block * (layers + 1) + at
    if match[1] == "up":
        if part == "upsamplers":
            return f"output_blocks.{place + layers}.upsampler.{match[5]}"
        return f"output_blocks.{place}.{int(part == 'attentions')}.{_inside(part, match[5])}"
    if part == "downsamplers":
        return f"input_blocks.{place + layers + 1}.0.op.{kind}"
    return f"input_blocks.{place + 1}.{int(part == 'attentions')}.{_inside(part, match[5])}"


def _inside(part: str, name: str) -> str:
    layer, _, kind = name.partition(".")
    return f"{RESNET[layer]}.{kind}" if part == "resnets" else name


def vae(weights: Tensors) -> Tensors:
    levels = 1 + max(
        int(found[1]) for name in weights if (found := re.search(r"blocks\.(\d)", name))
    )
    return {f"first_stage_model.{_vae_name(name, levels)}": w for name, w in weights.items()}


def _vae_name(name: str, levels: int) -> str:
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    for kind, place in (("resnets.", "block."), ("upsamplers.0", "upsample")):
        pattern = rf"up_blocks\.(\d+)\.{re.escape(kind)}"
        name = re.sub(pattern, lambda at, to=place: f"up.{levels - 1 - int(at[1])}.{to}", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda at: f"mid.block_{int(at[1]) + 1}", name)
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def clip(weights: Tensors) -> Tensors:
    bare = {name.removeprefix("text_model."): weight for name, weight in weights.items()}
    prefix = "conditioner.embedders.0.transformer.text_model."
    return {f"{prefix}{name}": weight for name, weight in bare.items()}


def open_clip(weights: Tensors) -> Tensors:
    bare = {name.removeprefix("text_model."): weight for name, weight in weights.items()}
    found = {"text_projection": bare.pop("text_projection.weight").T.contiguous()}
    for name, weight in bare.items():
        if name in OPEN_CLIP_OUTSIDE:
            found[OPEN_CLIP_OUTSIDE[name]] = weight
        elif ".q_proj." in name:
            kind = name.rpartition(".")[2]
            parts = [bare[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            place = name.partition(".self_attn")[0].replace("encoder.layers", "resblocks")
            found[f"transformer.{place}.attn.in_proj_{kind}"] = torch.cat(parts)
        elif ".k_proj." not in name and ".v_proj." not in name:
            for ours, theirs in OPEN_CLIP.items():
                name = name.replace(ours, theirs)
            found[f"transformer.{name.replace('encoder.layers', 'resblocks')}"] = weight
    return {f"conditioner.embedders.1.model.{name}": weight for name, weight in found.items()}
