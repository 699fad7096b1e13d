# SPDX-License-Identifier: Apache-2.0
"""Depth completion: what the sensor measured stays, what it did not see comes from the model."""

import cv2
import numpy as np

CELL = 32  # pixels; the model's error is smooth over this and more
REACH = 1.0  # cells; standard deviation of the smoothing
PRIOR = 0.05  # measurements' worth of belief that the model needs no correction
DISAGREEMENT = 0.15  # relative; a measurement further off corrects nothing but its own pixel


def complete_depth(depth, reference):
    """The sensor's pixels where they are valid, ours in the holes: float32 (H, W) metres, NaN
    where neither knows.

    depth: (H, W) metres along Z, ours (Scale.depth). reference: (H, W) metres along Z, the
    sensor's, as sparse as it likes; NaN, inf, 0 and negative are holes. Ours is first drawn to the
    sensor by a smooth factor (the model's error is smooth), fitted where the two agree within 15
    %. Any content survives; ValueError when the shapes differ.
    """
    depth = np.asarray(depth, np.float32)
    reference = np.asarray(reference, np.float32)
    if depth.shape != reference.shape:
        raise ValueError(f'reference_depth: {reference.shape} does not have the shape of depth '
                         f'{depth.shape}')
    with np.errstate(invalid='ignore'):
        measured = (reference > 0) & (reference < np.inf)
    if not depth.size or not measured.any():
        return depth.copy()
    return np.where(measured, reference, depth * correction(depth, reference))


def correction(depth, reference):
    """The smooth factor, float32 (H, W), about 1, that draws `depth` to `reference` where both
    are known."""
    height, width = depth.shape
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        both = (reference > 0) & (reference < np.inf) & (depth > 0) & (depth < np.inf)
        rows, columns = np.nonzero(both)
        ratio = np.log(reference[rows, columns] / depth[rows, columns])
    near = np.abs(ratio) < DISAGREEMENT
    grid = -(-height // CELL), -(-width // CELL)
    cell = (rows[near] // CELL) * grid[1] + columns[near] // CELL
    total = np.bincount(cell, ratio[near], grid[0] * grid[1]).reshape(grid)
    count = np.bincount(cell, minlength=grid[0] * grid[1]).reshape(grid).astype(float)
    # A dense sensor says no more about a cell than a few dozen pixels do.
    enough = np.minimum(count, 30) / np.maximum(count, 1)
    blurred, weight = (cv2.GaussianBlur(part * enough, (0, 0), REACH,
                                        borderType=cv2.BORDER_CONSTANT) for part in (total, count))
    field = np.exp(blurred / (weight + PRIOR)).astype(np.float32)
    # cv2.resize lines up the corners of the pictures; the grid may reach beyond ours.
    full = cv2.resize(field, (grid[1] * CELL, grid[0] * CELL), interpolation=cv2.INTER_LINEAR)
    return full[:height, :width]
