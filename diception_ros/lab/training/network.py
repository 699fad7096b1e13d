# SPDX-License-Identifier: Apache-2.0
"""The trainable model: transformer, autoencoder, point encoder and prompts, and its losses."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from diception_ros.errors import first_line
from diception_ros.lab.training.targets import (
    KEYPOINTS,
    MASKS,
    MAX_POINTS,
    PROMPTS,
    REGRESSION,
    TaskBatch,
)
from diception_ros.model.autoencoder import GuidedAutoencoder
from diception_ros.model.checkpoints import (
    Components,
    read_config,
    save_component,
    save_description,
)
from diception_ros.model.image_encoder import (
    ImageEncoder,
    token_feature_channels,
    token_features,
)
from diception_ros.model.points import PointEncoder
from diception_ros.model.prompts import PromptBank
from diception_ros.model.transformer import DiceptionTransformer
from diception_ros.tasks import CATEGORIES
from diception_ros.tasks.registry import trained_kinds


class Network(nn.Module):
    """Everything that learns. `config`: the `model` part of the training YAML."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.image_encoder, seen, guiding = None, 0, ()
        if 'image_encoder' in config:
            self.image_encoder = ImageEncoder(**config['image_encoder'])
            seen = token_feature_channels(self.image_encoder)
            guiding = self.image_encoder.feature_channels[:3]
        self.transformer = DiceptionTransformer(**config['transformer'],
                                                image_feature_channels=seen)
        self.autoencoder = GuidedAutoencoder(**config['autoencoder'],
                                             image_scale=2 if seen else 1,
                                             image_feature_channels=guiding)
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
        # What the image encoder says is learned to be heard: at first it changes nothing.
        for module in (self.transformer.image_feature_embedder,
                       *self.autoencoder.from_image_features):
            if module is not None:
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, rgb: torch.Tensor, samples: TaskBatch, flow_rows: torch.Tensor,
                flow_time: torch.Tensor, flow_noise: torch.Tensor):
        """Predictions of the samples, by one step from zero noise, or denoised from `flow_time`.

        rgb (N, 3, sH, sW) in [-1, 1], s = the autoencoder's image_scale; flow_rows (F,) int64:
        samples that start from their own target's latents, noised to flow_time (F,) in (0, 1] with
        flow_noise (F, C, h, w). Returns predictions (R, 3, H, W) around [-1, 1], the targets of the
        flow rows decoded from their latents
        (F, 3, H, W), and the flow matching loss.
        """
        image_features = self.image_encoder(rgb) if self.image_encoder is not None else None
        latents, features = self.autoencoder.encode(rgb, image_features)
        cache = self.transformer.encode_image(
            latents, image_features and token_features(image_features))
        tokens = self.point_encoder(samples.points, samples.given)
        rows = len(samples.image_index)
        noisy = latents.new_zeros(rows, *latents.shape[1:])       # x_1 = zero noise
        time = torch.ones(rows, device=rgb.device)
        clean, _ = self.autoencoder.encode_small(samples.target[flow_rows])
        mix = flow_time[:, None, None, None]
        noisy[flow_rows] = ((1 - mix) * clean.detach() + mix * flow_noise).to(noisy.dtype)
        time[flow_rows] = flow_time
        velocity = self.transformer(
            noisy, None, self.prompt_embeds[samples.prompt], self.pooled[samples.prompt],
            tokens, 1000 * time, image_cache=cache, image_index=samples.image_index)
        answer = noisy - time[:, None, None, None] * velocity     # x_0 = x_t - t v
        seen = [level[samples.image_index] for level in features]
        pictures = self.autoencoder.decode_small(answer, seen)
        again = self.autoencoder.decode_small(clean, [level[flow_rows] for level in seen])
        wanted = (flow_noise - clean).detach()
        scale = wanted.square().mean().clamp(min=1e-3)
        flow = (velocity[flow_rows].float() - wanted).square().mean() / scale
        return pictures, again, flow + 1e-4 * clean.float().square().mean()

    @torch.no_grad()
    def start_from(self, model: Components) -> None:
        """Take over the weights of a model of the same shape. Prompts and an image encoder that it
        has not stay as they are; ValueError where shapes differ."""
        for own, given in ((self.transformer, model.transformer),
                           (self.autoencoder, model.autoencoder),
                           (self.point_encoder, model.point_encoder),
                           (self.image_encoder, model.image_encoder)):
            if given is None:
                continue
            state = given.state_dict()
            if model.image_encoder is None:
                state.update({name: value for name, value in own.state_dict().items()
                              if 'image_feature' in name})
            try:
                own.load_state_dict(state)
            except (RuntimeError, AttributeError) as error:
                raise ValueError(f'the model to start from has another shape than the `model` of '
                                 f'the configuration: {first_line(error)}') from None
        for index, key in enumerate(PROMPTS):
            if key in model.prompts:
                embeds, pooled = model.prompts.lookup([key])
                self.prompt_embeds[index], self.pooled[index] = embeds[0], pooled[0]

    def components(self, settings: dict[str, Any]) -> Components:
        """The network as a model that DiceptionPipeline runs (not copied: the same tensors);
        `settings`: the training's whole configuration."""
        bank = PromptBank({key: (self.prompt_embeds[i].detach(), self.pooled[i].detach())
                           for i, key in enumerate(PROMPTS)})
        scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
        return Components(describe(settings), self.transformer, scheduler, bank,
                          self.point_encoder, self.autoencoder, self.image_encoder)

    def save(self, folder: Path, settings: dict[str, Any]) -> None:
        """Write a model directory in half precision into the empty directory `folder`."""
        parts = self.components(settings)
        save_component(self.transformer.half(), folder / 'transformer')
        save_component(self.autoencoder.half(), folder / 'vae')
        if self.image_encoder is not None:
            save_component(self.image_encoder.half(), folder / 'image_encoder')
        save_component(self.point_encoder.half(), folder / 'point_encoder')
        parts.scheduler.save_pretrained(folder / 'scheduler')
        parts.prompts.to('cpu', torch.float16).save(folder / 'prompts.safetensors')
        save_description(folder, parts.config)
        read_config(folder)


def describe(settings: dict[str, Any]) -> dict[str, Any]:
    """diception.json of a model trained here; it offers the categories that `settings` names, all
    that were trained where it names none."""
    return {'format': 1, 'name': settings['name'], 'licence': 'Apache-2.0',
            'resolution': list(settings['resolution']), 'space': 'latent', 'initial_noise': 'zeros',
            'tasks': {task: {'num_inference_steps': 1, 'guidance_scale': 1.0}
                      for task in trained_kinds()},
            'categories': list(settings.get('categories', CATEGORIES)),
            'normal_axes': ['left', 'up', 'back'],
            'pose_encoding': 'typed', 'entity_colors': 'position', 'point_order': 'yx',
            'max_points': MAX_POINTS}


def reconstruction_loss(predictions: torch.Tensor, samples: TaskBatch, weights: dict[str, float],
                        ) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean loss over samples, and each task's own mean. predictions (R, 3, H, W) around [-1, 1].

    Only pixels that `samples.valid` names count. Regressed images: L2 + L1/2 + gradient/2. Masks:
    L2 plus dice; `weights['balance']` in [0, 1] says how far foreground and background weigh the
    same: without it masks stay empty at first, with it they end up too large. Pose: L2 weighted
    towards what is not black; under L1 it collapses to black.
    """
    predictions, target = predictions.float(), samples.target
    error = predictions - target
    square = error.square()
    valid = samples.valid

    def mean(values, mask):
        """Over the valid pixels of each sample, (R,)."""
        mask = mask.expand_as(values)
        return (values * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1)

    def rows(*kinds):
        return torch.tensor([k in kinds for k in samples.kinds], device=target.device)

    regression, masks, pose = rows(*REGRESSION), rows(*MASKS), rows(*KEYPOINTS)
    loss = predictions.new_zeros(len(predictions))
    if regression.any():
        e, v = error[regression], valid[regression]
        gradient = (mean((e[..., 1:] - e[..., :-1]).abs(), v[..., 1:] * v[..., :-1])
                    + mean((e[..., 1:, :] - e[..., :-1, :]).abs(), v[..., 1:, :] * v[..., :-1, :]))
        loss[regression] = mean(square[regression], v) + 0.5 * mean(e.abs(), v) + 0.5 * gradient
    if masks.any():
        v = valid[masks]
        truth = (target[masks, :1] + 1) / 2 * v
        guess = ((predictions[masks].mean(dim=1, keepdim=True) + 1) / 2).clamp(0, 1) * v
        share = truth.sum(dim=(2, 3), keepdim=True) / v.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        balance = truth * (0.5 / share.clamp(min=0.02)) + (1 - truth) * (
            0.5 / (1 - share).clamp(min=0.1))
        overlap = (guess * truth).sum(dim=(1, 2, 3))
        total = (guess + truth).sum(dim=(1, 2, 3))
        dice = 1 - (2 * overlap + 16) / (total + 16)
        weight = 1 + 0.5 * weights['balance'] * (balance - 1)
        loss[masks] = mean(square[masks] * weight, v) + weights['dice'] * dice
    if pose.any():
        weight = 1 + weights['joints'] * (target[pose].amax(dim=1, keepdim=True) + 1) / 2
        loss[pose] = mean(square[pose] * weight, valid[pose])
    scale = torch.tensor([weights.get(k, 1.0) for k in samples.kinds], device=target.device)
    by_kind = {kind: loss.detach()[rows(kind)].mean().item() for kind in set(samples.kinds)}
    return (loss * scale).mean(), by_kind


def flow_times(count: int, generator: torch.Generator, device) -> torch.Tensor:
    """(count,) in (0, 1): logit-normal(0, 1), as SD3 was trained."""
    return torch.sigmoid(torch.randn(count, generator=generator, device=device))


