# SPDX-License-Identifier: Apache-2.0
"""The trainable model: transformer, autoencoder, point encoder and prompts, and its losses."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from diception_ros.lab.training.targets import MASKS, MAX_POINTS, PROMPTS, REGRESSION, Questions
from diception_ros.model.autoencoder import GuidedAutoencoder
from diception_ros.model.checkpoints import (
    Components,
    one_line,
    read_config,
    save_component,
    save_description,
)
from diception_ros.model.points import PointEncoder
from diception_ros.model.prompts import PromptBank
from diception_ros.model.transformer import DiceptionTransformer
from diception_ros.tasks import CATEGORIES


class Network(nn.Module):
    """Everything that learns. `config`: the `model` part of the training YAML."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.transformer = DiceptionTransformer(**config['transformer'])
        self.autoencoder = GuidedAutoencoder(**config['autoencoder'])
        dim = self.transformer.inner_dim
        self.point_encoder = PointEncoder(inner_dim=dim, max_points=MAX_POINTS,
                                          **config['point_encoder'])
        width = self.transformer.config.joint_attention_dim
        pooled = self.transformer.config.pooled_projection_dim
        self.prompt_embeds = nn.Parameter(
            torch.randn(len(PROMPTS), config['prompt_tokens'], width) * 0.5)
        self.pooled = nn.Parameter(torch.randn(len(PROMPTS), pooled) * 0.5)
        self._initialise()

    def _initialise(self) -> None:
        """Open gates and scaled-down residuals: such blocks learn from the first step, where SD3's
        closed gates wait for their own gradients."""
        shrink = 1 / math.sqrt(2 * len(self.transformer.transformer_blocks))
        for block in self.transformer.transformer_blocks:
            for norm in (block.norm1, block.norm1_context):
                nn.init.zeros_(norm.linear.weight)
                nn.init.zeros_(norm.linear.bias)
                if norm.linear.bias.shape[0] == 6 * self.transformer.inner_dim:
                    with torch.no_grad():                 # shift, scale, GATE, shift, scale, GATE
                        norm.linear.bias.view(6, -1)[[2, 5]] = 1
            for out in (block.attn.to_out[0], block.attn.to_add_out,
                        block.ff.net[2], block.ff_context and block.ff_context.net[2]):
                if out is not None:
                    with torch.no_grad():
                        out.weight.mul_(shrink)
        nn.init.zeros_(self.transformer.norm_out.linear.weight)
        nn.init.zeros_(self.transformer.norm_out.linear.bias)
        with torch.no_grad():
            for level in (*self.autoencoder.encoder_levels, *self.autoencoder.decoder_levels):
                for block in level:
                    block.conv2.weight.mul_(0.3)

    def forward(self, rgb: torch.Tensor, questions: Questions, flow_rows: torch.Tensor,
                flow_time: torch.Tensor, flow_noise: torch.Tensor):
        """Answers to the questions, by one step from zero noise, or denoised from `flow_time`.

        rgb (N, 3, H, W) in [-1, 1]; flow_rows (F,) int64: rows that start from their own target's
        latents, noised to flow_time (F,) in (0, 1] with flow_noise (F, C, h, w). Returns pictures
        (R, 3, H, W) around [-1, 1], the targets of the flow rows decoded from their latents
        (F, 3, H, W), and the flow matching loss.
        """
        latents, features = self.autoencoder.encode(rgb)
        cache = self.transformer.encode_image(latents)
        tokens = self.point_encoder(questions.points, questions.given)
        rows = len(questions.picture)
        noisy = latents.new_zeros(rows, *latents.shape[1:])       # x_1 = zero noise
        time = torch.ones(rows, device=rgb.device)
        clean, _ = self.autoencoder.encode(questions.target[flow_rows])
        mix = flow_time[:, None, None, None]
        noisy[flow_rows] = ((1 - mix) * clean.detach() + mix * flow_noise).to(noisy.dtype)
        time[flow_rows] = flow_time
        velocity = self.transformer(
            noisy, None, self.prompt_embeds[questions.prompt], self.pooled[questions.prompt],
            tokens, 1000 * time, image_cache=cache, image_index=questions.picture)
        answer = noisy - time[:, None, None, None] * velocity     # x_0 = x_t - t v
        seen = [level[questions.picture] for level in features]
        pictures = self.autoencoder.decode(answer, seen)
        again = self.autoencoder.decode(clean, [level[flow_rows] for level in seen])
        wanted = (flow_noise - clean).detach()
        scale = wanted.square().mean().clamp(min=1e-3)
        flow = (velocity[flow_rows].float() - wanted).square().mean() / scale
        return pictures, again, flow + 1e-4 * clean.float().square().mean()

    @torch.no_grad()
    def start_from(self, model: Components) -> None:
        """Take over the weights of a model of the same shape. Prompts that it has not stay as they
        are; ValueError where shapes differ."""
        for own, given in ((self.transformer, model.transformer),
                           (self.autoencoder, model.autoencoder),
                           (self.point_encoder, model.point_encoder)):
            try:
                own.load_state_dict(given.state_dict())
            except RuntimeError as error:
                raise ValueError(f'the model to start from has another shape than the `model` of '
                                 f'the configuration: {one_line(error)}') from None
        for index, key in enumerate(PROMPTS):
            if key in model.prompts:
                embeds, pooled = model.prompts.lookup([key])
                self.prompt_embeds[index], self.pooled[index] = embeds[0], pooled[0]

    def components(self, name: str, resolution: list[int]) -> Components:
        """The network as a model that DiceptionPipeline runs (not copied: the same tensors)."""
        bank = PromptBank({key: (self.prompt_embeds[i].detach(), self.pooled[i].detach())
                           for i, key in enumerate(PROMPTS)})
        scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
        return Components(describe(name, resolution), self.transformer, scheduler, bank,
                          self.point_encoder, self.autoencoder)

    def save(self, folder: Path, name: str, resolution: list[int]) -> None:
        """Write a model directory in half precision into the empty directory `folder`."""
        parts = self.components(name, resolution)
        save_component(self.transformer.half(), folder / 'transformer')
        save_component(self.autoencoder.half(), folder / 'vae')
        save_component(self.point_encoder.half(), folder / 'point_encoder')
        parts.scheduler.save_pretrained(folder / 'scheduler')
        parts.prompts.to('cpu', torch.float16).save(folder / 'prompts.safetensors')
        save_description(folder, parts.config)
        read_config(folder)


def describe(name: str, resolution: list[int]) -> dict[str, Any]:
    """diception.json of a model trained here."""
    tasks = ('depth', 'normals', 'entities', 'segmentation', 'pose', 'semantic')
    return {'format': 1, 'name': name, 'licence': 'Apache-2.0', 'resolution': list(resolution),
            'space': 'latent', 'initial_noise': 'zeros',
            'tasks': {task: {'num_inference_steps': 1, 'guidance_scale': 1.0} for task in tasks},
            'categories': list(CATEGORIES), 'normal_axes': ['left', 'up', 'back'],
            'pose_encoding': 'typed', 'entity_colors': 'position', 'point_order': 'yx',
            'max_points': MAX_POINTS}


def picture_loss(pictures: torch.Tensor, questions_kinds: list[str], target: torch.Tensor,
                 weights: dict[str, float]) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean loss over rows, and each task's own mean. Pictures (R, 3, H, W) around [-1, 1].

    Regressed pictures: L2 + L1/2 + gradient/2. Masks: L2 plus dice; `weights['balance']` in [0, 1]
    says how far foreground and background weigh the same: without it masks stay empty at first,
    with it they end up too large. Pose: L2 weighted towards what is not black; under L1 it
    collapses to black.
    """
    pictures = pictures.float()
    error = pictures - target
    square = error.square()

    def mean(values):
        return values.mean(dim=(1, 2, 3))

    def rows(*kinds):
        return torch.tensor([k in kinds for k in questions_kinds], device=target.device)

    regression, masks, pose = rows(*REGRESSION), rows(*MASKS), rows('pose')
    loss = pictures.new_zeros(len(pictures))
    if regression.any():
        e = error[regression]
        gradient = (mean((e[..., 1:] - e[..., :-1]).abs())
                    + mean((e[..., 1:, :] - e[..., :-1, :]).abs()))
        loss[regression] = mean(square[regression]) + 0.5 * mean(e.abs()) + 0.5 * gradient
    if masks.any():
        truth = (target[masks, :1] + 1) / 2
        guess = ((pictures[masks].mean(dim=1, keepdim=True) + 1) / 2).clamp(0, 1)
        share = truth.mean(dim=(2, 3), keepdim=True)
        balance = truth * (0.5 / share.clamp(min=0.02)) + (1 - truth) * (
            0.5 / (1 - share).clamp(min=0.1))
        overlap = (guess * truth).sum(dim=(1, 2, 3))
        total = (guess + truth).sum(dim=(1, 2, 3))
        dice = 1 - (2 * overlap + 16) / (total + 16)
        weight = 1 + 0.5 * weights['balance'] * (balance - 1)
        loss[masks] = mean(square[masks] * weight) + weights['dice'] * dice
    if pose.any():
        weight = 1 + weights['joints'] * (target[pose].amax(dim=1, keepdim=True) + 1) / 2
        loss[pose] = mean(square[pose] * weight)
    scale = torch.tensor([weights.get(k, 1.0) for k in questions_kinds], device=target.device)
    by_kind = {kind: loss.detach()[rows(kind)].mean().item() for kind in set(questions_kinds)}
    return (loss * scale).mean(), by_kind


def flow_times(count: int, generator: torch.Generator, device) -> torch.Tensor:
    """(count,) in (0, 1): logit-normal(0, 1), as SD3 was trained."""
    return torch.sigmoid(torch.randn(count, generator=generator, device=device))


