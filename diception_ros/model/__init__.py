# SPDX-License-Identifier: Apache-2.0
"""The generalist diffusion model: one picture in, one picture per task out.

Names are imported when they are first used, so that this package can be imported without torch.
"""
import importlib
import os

# Where other processes want the CPU too, torch's threads that wait by spinning make inference there
# ten times slower. OpenMP reads this when torch is loaded, which is later.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('GOMP_SPINCOUNT', '0')

_WHERE = {
    'DiceptionPipeline': 'pipeline',
    'ModelError': 'checkpoints',
    'DiceptionTransformer': 'transformer',
    'PointEncoder': 'points',
    'GuidedAutoencoder': 'autoencoder',
    'PromptBank': 'prompts',
}
__all__ = [*_WHERE, 'Perception']


def __getattr__(name: str):
    if name == 'Perception':
        from diception_ros.results import Perception
        return Perception
    if name not in _WHERE:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_WHERE[name]}'), name)
