# SPDX-License-Identifier: Apache-2.0
"""Models that several tests of this folder look at, made once."""
from types import SimpleNamespace

import pytest


@pytest.fixture(scope='session', autouse=True)
def one_thread():
    import torch
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """A tiny model directory with a VAE, published layout; do not change it."""
    from tiny_model import write_tiny_model
    return write_tiny_model(tmp_path_factory.mktemp('models') / 'tiny')


@pytest.fixture(scope='session')
def published(tmp_path_factory):
    """Tiny stand-ins of the published files: `.sd3`, `.pickle`; do not change them."""
    from tiny_sd3 import write_tiny_sd3
    sd3, pickle = write_tiny_sd3(tmp_path_factory.mktemp('published'))
    return SimpleNamespace(sd3=sd3, pickle=pickle)
