# SPDX-License-Identifier: Apache-2.0
"""Point prompts -> context tokens of the transformer.

A point p in [0, 1]^2 becomes `[sin, cos](2 pi (2p - 1) G)` with a random matrix G that belongs to
the weights (Tancik et al., Fourier features; SAM's prompt encoder), then a two-layer MLP, plus one
learned vector for a given point and another for an empty slot. Empty slots are encoded from (0, 0),
as the published code does.
"""
from __future__ import annotations

import math

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn


class PointEncoder(ModelMixin, ConfigMixin):
    """Up to `max_points` positive points -> (B, max_points, inner_dim) tokens."""

    @register_to_config
    def __init__(self, inner_dim: int = 1536, num_frequencies: int = 1024,
                 hidden_dim: int = 2048, max_points: int = 5, grid: int = 0):
        """`grid` > 0 adds the transformer's own sin-cos code of the place, for a picture of
        grid x grid tokens, so that a point token and the image token beneath it match at once."""
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(2 * num_frequencies, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, inner_dim))
        self.seg_embeddings = nn.Embedding(1, inner_dim)
        self.not_seg_embeddings = nn.Embedding(1, inner_dim)
        self.register_buffer('positional_encoding_gaussian_matrix',
                             torch.randn(2, num_frequencies))

    def forward(self, points: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """points (B, max_points, 2) in [0, 1] in the model's own order; given (B, max_points) bool.

        Computed in float32 up to the MLP: the angles do not survive half precision.
        """
        matrix = self.positional_encoding_gaussian_matrix.float()
        angles = 2 * math.pi * ((2 * points.float() - 1) @ matrix)    # (B, points, frequencies)
        features = torch.cat([angles.sin(), angles.cos()], dim=-1)
        tokens = self.mlp(features.to(self.mlp[0].weight.dtype))      # (B, points, inner_dim)
        if self.config.grid:
            tokens = tokens + self._place(points).to(tokens.dtype) * given[..., None]
        return tokens + torch.where(given[..., None], self.seg_embeddings.weight[0],
                                    self.not_seg_embeddings.weight[0])

    def _place(self, points: torch.Tensor) -> torch.Tensor:
        """The sin-cos code of diffusers' PatchEmbed at a continuous place (x first, then y).

        Expects points stored as (y, x): the order of models that have a grid.
        """
        quarter = self.config.inner_dim // 4
        omega = 10000.0 ** (-torch.arange(quarter, device=points.device).float() / quarter)
        place = points.float().flip(-1) * self.config.grid - 0.5      # (B, points, 2): x, y
        angles = place[..., None] * omega                             # (B, points, 2, quarter)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
