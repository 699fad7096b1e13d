# SPDX-License-Identifier: Apache-2.0
"""The published way from an image of entities to masks (DICEPTION's Algorithm 2), as a baseline.

Peaks of the channels' histograms say how many clusters a KMeans gets; each cluster's mask is what
lies near its centre. The paper gives no thresholds: these are guesses. Known failure: similar
colours merge, small things are lost, noise leaves nothing.
"""

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes
from scipy.signal import find_peaks

_TOLERANCE = 30  # per channel, 0..255
_NEAR_BLACK = 30
_LEAST = 0.001  # of the image
_COMPONENTS = 6  # a mask of more is noise
_SAME = 0.7  # IoU of duplicates


def published_regions(image):
    """Label image int32 (H, W), 0 = none, of an image float32 (H, W, 3) in [0, 1]."""
    levels = np.rint(255 * image).astype(np.uint8)
    labels = np.zeros(levels.shape[:2], np.int32)
    peaks = [_peaks(channel) for channel in cv2.split(levels)]
    clusters = max(1, round(float(np.mean(peaks))))
    step = max(1, int(np.sqrt(labels.size / 20000)))
    samples = levels[::step, ::step].reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(0)
    _, _, centres = cv2.kmeans(
        samples,
        min(clusters, len(samples)),
        None,
        (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0),
        3,
        cv2.KMEANS_PP_CENTERS,
    )
    kernel, masks = np.ones((3, 3), np.uint8), []
    for centre in centres:
        if centre.max() < _NEAR_BLACK:
            continue
        mask = cv2.inRange(
            levels, np.clip(centre - _TOLERANCE, 0, 255), np.clip(centre + _TOLERANCE, 0, 255)
        )
        mask = binary_fill_holes(mask).astype(np.uint8)
        mask = cv2.morphologyEx(
            cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel
        )
        area = np.count_nonzero(mask)
        parts = cv2.connectedComponents(mask)[0] - 1
        if area < _LEAST * mask.size or parts > _COMPONENTS:
            continue
        mask = mask.astype(bool)
        if all(
            np.count_nonzero(mask & other) < _SAME * np.count_nonzero(mask | other)
            for other in masks
        ):
            masks.append(mask)
    # Smaller ones over larger ones.
    for number, mask in enumerate(sorted(masks, key=np.count_nonzero, reverse=True), 1):
        labels[mask] = number
    return labels


def _peaks(channel):
    histogram = np.bincount(channel.ravel(), minlength=256).astype(np.float64)
    smooth = cv2.GaussianBlur(histogram[None], (0, 0), 2)[0]
    padded = np.concatenate([[0], smooth, [0]])
    return len(find_peaks(padded, height=0.001 * channel.size, distance=8)[0])
