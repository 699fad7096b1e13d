# SPDX-License-Identifier: Apache-2.0
"""Restoration: the clean image from a noisy, rainy or dark one."""

import cv2
import numpy as np

from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.pictures import clean, resized
from diception_ros.tasks.task import Metric, Task, Topic

MODES = ('denoise', 'derain', 'lowlight')


class Restoration(Task):
    """Result: uint8 (H, W, 3). The truth's own image is the target; `degrade` makes the input."""

    kind, family, members = 'restoration', 'mode', MODES
    field, truth_field = 'restored', 'rgb'
    meaning = 'uint8 (H, W, 3), the image without noise, rain or darkness'
    topics = (Topic('restored', 'denoised, derained or brightened', 'rgb8'),)
    metrics = (Metric('psnr', 'dB'),)

    def __init__(self, mode, conventions=Conventions()):
        super().__init__(mode, conventions)
        self.mode = mode

    def encode(self, truth, rng=None, points=None):
        return truth.rgb.astype(np.float32) / 255

    def degrade(self, rgb, rng):
        """The image a model is to restore: uint8 (H, W, 3) in and out."""
        image = rgb.astype(np.float32) / 255
        height, width = rgb.shape[:2]
        if self.mode == 'denoise':
            image += rng.normal(0, rng.uniform(0.05, 0.2), rgb.shape)
        elif self.mode == 'lowlight':
            image = (image * rng.uniform(0.1, 0.4)) ** rng.uniform(1, 1.5)
            image += rng.normal(0, rng.uniform(0.01, 0.04), rgb.shape)
        else:
            drops = (rng.random((height, width)) > 1 - rng.uniform(0.005, 0.02)).astype(np.float32)
            length = max(3, int(height * rng.uniform(0.04, 0.12)))
            streak = np.zeros((length, length), np.float32)
            lean = int(length * rng.uniform(-0.3, 0.3))
            cv2.line(streak, (length // 2 - lean, 0), (length // 2 + lean, length - 1), 1)
            rain = np.clip(cv2.filter2D(drops, -1, streak), 0, 1)[..., None]
            image += rng.uniform(0.3, 0.7) * rain * (0.9 - image)
        return (255 * np.clip(image, 0, 1)).astype(np.uint8)

    def decode(self, image):
        return np.rint(255 * clean(image)).astype(np.uint8)

    def score(self, result, truth):
        """Peak signal-to-noise ratio in dB, at most 100."""
        error = resized(result, truth.rgb.shape).astype(np.float32) - truth.rgb
        return {'psnr': float(min(100, 20 * np.log10(255 / max(np.sqrt((error**2).mean()), 1e-9))))}

    def constant_baseline(self, truths):
        """The mean image."""
        return np.mean([truth.rgb for truth in truths], axis=0).astype(np.uint8)
