# SPDX-License-Identifier: Apache-2.0
"""Reading a model's colour images safely: whatever comes in, finite values in [0, 1] go on."""

import cv2
import numpy as np


def clean(image):
    """Any image (H, W, 3) as float32 in [0, 1], with 0 where it was not a number; the same array
    if it is so already."""
    image = np.asarray(image, np.float32)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f'image of shape {image.shape}: must be (H, W, 3) and not empty')
    if image.min() >= 0 and image.max() <= 1:  # neither, where anything is not a number
        return image
    image = np.nan_to_num(image, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(image, 0, 1, out=image)


def grey(image):
    """The mean of the channels of an image (H, W, 3), float32 (H, W)."""
    # numpy's mean over the last axis takes fifty times as long, its max ten times.
    return cv2.transform(image, np.full((1, 3), 1 / 3, np.float32)).reshape(image.shape[:2])


def brightest(image):
    """The largest channel of an image (H, W, 3), float32 (H, W)."""
    red, green, blue = cv2.split(image)
    return cv2.max(cv2.max(red, green), blue)


def resized(values, shape):
    """`values` (h, w[, C]) float or bool, bilinearly at `shape` (H, W); the same array if it
    fits."""
    values = np.asarray(values)
    if values.shape[:2] == tuple(shape[:2]):
        return values
    return cv2.resize(
        values.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR
    )


def resized_labels(labels, shape):
    """Label image int32 (h, w) at `shape` (H, W) by nearest neighbour."""
    if labels.shape == tuple(shape[:2]):
        return labels
    rows = ((2 * np.arange(shape[0]) + 1) * labels.shape[0]) // (2 * shape[0])
    columns = ((2 * np.arange(shape[1]) + 1) * labels.shape[1]) // (2 * shape[1])
    return labels[rows[:, None], columns]
