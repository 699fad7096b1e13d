# SPDX-License-Identifier: Apache-2.0
"""A pre-trained view of the camera image: the features of an EfficientNet-Lite.

The pixel-space generalist (arXiv 2407.00503) conditions its diffusion on the features of a frozen
image encoder that was pre-trained on real photographs, and DICEPTION keeps the prior of its
pre-trained backbone; a small model that learns from synthetic scenes needs that prior most. The
network is EfficientNet-Lite (Tan and Le, arXiv 1905.11946; its Lite variant without
squeeze-and-excitation and with ReLU6). Batch norms are folded into the convolutions: their
statistics are part of the pre-training and stay as they are.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

# kernel, stride, expansion, channels, blocks: EfficientNet-B0 without its classifier.
LITE0 = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3),
         (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))
# It was trained on (pixel - 127) / 128, ours are pixel / 127.5 - 1.
PIXEL_SCALE, PIXEL_SHIFT = 127.5 / 128, 0.5 / 128


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does, where the weights come from: what is odd goes to
    the right and the bottom. Sides must be multiples of the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        total = kernel - stride
        self.around = (total // 2, total - total // 2) * 2

    def forward(self, x):
        return super().forward(F.pad(x, self.around) if any(self.around) else x)


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each channel, narrow again."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        self.expand = SameConv(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        wide = x if isinstance(self.expand, nn.Identity) else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.depthwise(wide)))
        return x + out if self.residual else out


class ImageEncoder(ModelMixin, ConfigMixin):
    """Images (B, 3, H, W) in [-1, 1] -> their features at 1/4, 1/8, 1/16 and 1/32 of H and W."""

    @register_to_config
    def __init__(self, stem_channels: int = 32, stages: tuple = LITE0):
        """stages: (kernel, stride, expansion, channels, blocks) of each stage after the stem."""
        super().__init__()
        self.stem = SameConv(3, stem_channels, 3, stride=2)
        self.levels = nn.ModuleList()
        channels = stem_channels
        for kernel, stride, expansion, outputs, count in stages:
            blocks = [InvertedResidual(channels if i == 0 else outputs, outputs, kernel,
                                       stride if i == 0 else 1, expansion) for i in range(count)]
            self.levels.append(nn.Sequential(*blocks))
            channels = outputs

    @property
    def feature_channels(self) -> list[int]:
        """Channels of the features, from the finest to the coarsest."""
        stages = self.config.stages
        last = [i for i in range(len(stages)) if i + 1 == len(stages) or stages[i + 1][1] == 2]
        return [stages[i][3] for i in last][-4:]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """images (B, 3, H, W), sides multiples of 32 -> four tensors (B, C, H/s, W/s), s = 4, 8,
        16, 32: what the last block of each resolution found."""
        x = F.relu6(self.stem(images * PIXEL_SCALE + PIXEL_SHIFT))
        features = []
        strides = [stage[1] for stage in self.config.stages]
        for index, stage in enumerate(self.levels):
            if strides[index] == 2:
                features.append(x)                                # before it shrinks
            x = stage(x)
        return [*features, x][-4:]


def token_features(features: list[torch.Tensor]) -> torch.Tensor:
    """What image tokens, one per 32x32 pixels, are told of an encoder's features: the coarsest, and
    the four of the level before that lie on it; (B, F, H/32, W/32)."""
    return torch.cat([features[-1], F.pixel_unshuffle(features[-2], 2)], dim=1)


def token_feature_channels(encoder: ImageEncoder) -> int:
    """F of `token_features`."""
    return encoder.feature_channels[-1] + 4 * encoder.feature_channels[-2]
