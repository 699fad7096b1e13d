# SPDX-License-Identifier: Apache-2.0
"""A small convolutional autoencoder whose decoder sees the camera picture.

Latents at an eighth of the resolution cannot say where exactly a thing ends, but the camera
picture can. So the encoder hands on, beside the latents, features at 1/8, 1/4 and 1/2 of the
resolution, and the decoder that turns the latents of a depth map or a mask into pixels looks at
those of the camera picture (diffusers' AsymmetricAutoencoderKL does the like for inpainting). They
are computed once per picture, however many tasks are decoded from it.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn


class ConvBlock(nn.Module):
    """Residual block: norm, convolution to twice the width, gate, convolution back."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        a, b = self.conv1(self.norm(x)).chunk(2, dim=1)
        return x + self.conv2(F.silu(a) * b)


class GuidedAutoencoder(ModelMixin, ConfigMixin):
    """Pictures (B, 3, H, W) in [-1, 1] <-> latents (B, C, H/8, W/8), guided by features.

    With `image_scale` s the model's images are s times as large as what is encoded: they are
    averaged before and enlarged after, and only an image encoder sees all of their pixels.
    """

    @register_to_config
    def __init__(self, latent_channels: int = 32, encoder_channels: tuple = (48, 96, 160),
                 encoder_blocks: tuple = (1, 2, 2), decoder_channels: tuple = (32, 64, 128),
                 decoder_blocks: tuple = (1, 1, 2), scaling_factor: float = 1.0,
                 shift_factor: float = 0.0, image_scale: int = 1,
                 image_feature_channels: tuple = ()):
        """Tuples run from the finest level (half resolution) to the coarsest (an eighth).

        image_feature_channels: of an image encoder's features at those levels, which are added to
        the guiding ones; empty = no image encoder.
        """
        super().__init__()
        wide, narrow = list(encoder_channels), list(decoder_channels)
        self.encoder_in = nn.Conv2d(12, wide[0], 3, padding=1)    # after a 2x2 pixel unshuffle
        self.encoder_levels = nn.ModuleList(
            nn.Sequential(*(ConvBlock(c) for _ in range(n))) for c, n in zip(wide, encoder_blocks))
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(wide, wide[1:]))
        self.to_latents = nn.Sequential(nn.GroupNorm(8, wide[-1]),
                                        nn.Conv2d(wide[-1], latent_channels, 1))
        self.to_features = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(wide, narrow))

        self.from_image_features = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in zip(image_feature_channels, narrow))

        self.decoder_in = nn.Conv2d(latent_channels, narrow[-1], 3, padding=1)
        self.merges = nn.ModuleList(nn.Conv2d(2 * c, c, 1) for c in narrow)
        self.decoder_levels = nn.ModuleList(
            nn.Sequential(*(ConvBlock(c) for _ in range(n)))
            for c, n in zip(narrow, decoder_blocks))
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(narrow, narrow[1:]))
        self.decoder_out = nn.Sequential(nn.GroupNorm(8, narrow[0]), nn.SiLU(),
                                         nn.Conv2d(narrow[0], 12, 3, padding=1))

    @property
    def stride(self) -> int:
        """Image pixels per latent."""
        return self.config.image_scale * 2 ** len(self.config.encoder_channels)

    def encode(self, images: torch.Tensor, image_features: list[torch.Tensor] | None = None
               ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Images (B, 3, sH, sW) in [-1, 1] -> latents (B, C, H/8, W/8) and the guiding features;
        `image_features` from the image encoder, where the model has one."""
        if self.config.image_scale > 1:
            images = F.avg_pool2d(images, self.config.image_scale)
        return self.encode_small(images, image_features)

    def encode_small(self, pictures: torch.Tensor, image_features=None):
        """`encode` for pictures (B, 3, H, W) that are averaged already, as training's targets."""
        x = self.encoder_in(F.pixel_unshuffle(pictures, 2))
        features = []
        for index, level in enumerate(self.encoder_levels):
            if index:
                x = self.downs[index - 1](x)
            x = level(x)
            feature = self.to_features[index](x)
            if image_features is not None:
                feature = feature + self.from_image_features[index](image_features[index])
            features.append(feature)
        return self.to_latents(x), features

    def decode(self, latents: torch.Tensor, features: list[torch.Tensor]) -> torch.Tensor:
        """Latents (B, C, h, w) and the features of the image that each row belongs to -> (B, 3,
        8sh, 8sw), around [-1, 1] and not clipped."""
        pictures = self.decode_small(latents, features)
        if self.config.image_scale > 1:
            pictures = F.interpolate(pictures, scale_factor=self.config.image_scale,
                                     mode='bilinear')
        return pictures

    def decode_small(self, latents: torch.Tensor, features: list[torch.Tensor]) -> torch.Tensor:
        """`decode` without enlarging: (B, 3, 8h, 8w)."""
        x = self.decoder_in(latents)
        for index in reversed(range(len(self.decoder_levels))):
            x = self.merges[index](torch.cat([x, features[index].expand(len(x), -1, -1, -1)], 1))
            x = self.decoder_levels[index](x)
            if index:
                x = F.interpolate(self.ups[index - 1](x), scale_factor=2, mode='nearest')
        return F.pixel_shuffle(self.decoder_out(x), 2)
