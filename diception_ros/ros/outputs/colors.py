# SPDX-License-Identifier: Apache-2.0
"""Stand-in for tasks/drawing.py."""
import cv2
import numpy as np


def depth(d, palette='turbo'):
    code = {'turbo': cv2.COLORMAP_TURBO, 'viridis': cv2.COLORMAP_VIRIDIS, 'magma': cv2.COLORMAP_MAGMA, 'gray': cv2.COLORMAP_BONE}[palette]
    return cv2.applyColorMap((np.nan_to_num(d) * 255).clip(0, 255).astype(np.uint8), code)[..., ::-1].copy()
def normals(n):
    return ((1 - n) * 127.5).clip(0, 255).astype(np.uint8)
def labels(l):
    rng = np.random.default_rng(0); t = rng.integers(60, 255, (256, 3)).astype(np.uint8); t[0] = 0
    return t[l.astype(int) % 256]
