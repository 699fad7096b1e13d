# SPDX-License-Identifier: Apache-2.0
"""Smooth edges for the picture (the truth stays that of the pixel centres).

A pixel at an edge sees some surfaces of its neighbours too. Rays through four points of it are cast
against those few surfaces only, and each takes the colour that the winner has at the neighbour.
"""

import cv2
import numpy as np

from diception_ros.lab.synthetic.raycast import MEET

# where in a pixel the rays go, in pixels: a turned square
SAMPLES = np.array([[-.125, -.375], [.375, -.125], [.125, .375], [-.375, .125]], np.float32)


def smooth_edges(scene, camera, placed, surface, colour, faces):
    """Changes `colour`, float32 (3, H * W), in place.

    `surface` int (H, W): as `raycast.cast` leaves it with first = `faces`.
    """
    height, width = surface.shape
    # an edge between two like colours shows no steps
    tone = colour[1].reshape(height, width)
    step = np.float32(.03) * tone.mean()
    across = (surface[:, 1:] != surface[:, :-1]) & (np.abs(tone[:, 1:] - tone[:, :-1]) > step)
    down = (surface[1:] != surface[:-1]) & (np.abs(tone[1:] - tone[:-1]) > step)
    edge = np.zeros((height, width), bool)
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    pixels = np.flatnonzero(edge)
    if len(pixels) == 0:
        return
    row, column = np.divmod(pixels, width)
    # candidates: the pixel's own surface and its neighbours', each once
    sources = np.stack([pixels, pixels - (column > 0), pixels + (column < width - 1),
                        pixels - width * (row > 0), pixels + width * (row < height - 1)])
    candidates = surface.ravel()[sources]
    new = np.ones(candidates.shape, bool)
    for later in range(1, 5):
        for earlier in range(later):
            new[later] &= candidates[later] != candidates[earlier]
    slot, which = np.nonzero(new)
    candidate = candidates[slot, which]
    x, y = camera.slopes()
    k = camera.intrinsics
    rx = x[column[which], None] + SAMPLES[:, 0] / np.float32(k[0, 0])         # (pairs, 4)
    ry = y[row[which], None] + SAMPLES[:, 1] / np.float32(k[1, 1])
    found = np.full(rx.shape, 1e9, np.float32)      # the sky is behind all
    pose = camera.pose.astype(np.float32)
    with np.errstate(divide='ignore', invalid='ignore'):
        pairs = np.flatnonzero((candidate >= 0) & (candidate < faces))
        axis, upper = candidate[pairs] >> 1, candidate[pairs] & 1
        ends = np.stack([scene.low, scene.high]) - camera.pose[:3, 3]
        row = pose[axis, :, None]
        hit = ends[upper, axis].astype(np.float32)[:, None] / (
            row[:, 0] * rx[pairs] + row[:, 1] * ry[pairs] + row[:, 2])
        hit[hit <= 0] = np.inf
        found[pairs] = hit
        solid = candidate - faces
        kinds = np.where(solid >= 0, placed.solids.kind[np.maximum(solid, 0)], -1)
        maps = placed.rays.reshape(-1, 9).T
        for kind, meet in MEET.items():
            pairs = np.flatnonzero(kinds == kind)
            if len(pairs):
                pair_x, pair_y = rx[pairs].ravel(), ry[pairs].ravel()
                owner = np.repeat(solid[pairs], 4)
                d = [maps[i][owner] * pair_x + (maps[i + 1][owner] * pair_y + maps[i + 2][owner])
                     for i in (0, 3, 6)]
                found[pairs] = meet(d, placed.origin, placed.solids.shape, owner).reshape(-1, 4)
    distance = np.full((5, len(pixels), 4), np.inf, np.float32)
    distance[slot, which] = found
    nearest = np.zeros((len(pixels), 4), np.intp)
    for later in range(1, 5):
        closer = distance[later] < distance[0]
        nearest[closer] = later
        np.minimum(distance[0], distance[later], out=distance[0])
    winner = sources[nearest, np.arange(len(pixels))[:, None]]
    for channel in colour:
        taken = channel[winner]
        channel[pixels] = (taken[:, 0] + taken[:, 1] + taken[:, 2] + taken[:, 3]) * np.float32(.25)


def smooth_creases(surface, normals, colour, shape):
    """Softens the edges within a surface, where two faces of a box meet.

    `colour` float32 (3, H * W) is changed in place; `normals`: three of (H * W,).
    """
    across = np.zeros((shape[0], shape[1] - 1), np.float32)
    down = np.zeros((shape[0] - 1, shape[1]), np.float32)
    for component in normals:
        picture = component.reshape(shape)
        across += np.abs(picture[:, 1:] - picture[:, :-1])
        down += np.abs(picture[1:] - picture[:-1])
    across = (across > .5) & (surface[:, 1:] == surface[:, :-1])
    down = (down > .5) & (surface[1:] == surface[:-1])
    crease = np.zeros(shape, bool)
    crease[:, 1:] |= across
    crease[:, :-1] |= across
    crease[1:] |= down
    crease[:-1] |= down
    pixels = np.flatnonzero(crease)
    for channel in colour:
        channel[pixels] = cv2.GaussianBlur(channel.reshape(shape), (3, 3), .7).ravel()[pixels]
