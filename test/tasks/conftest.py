# SPDX-License-Identifier: Apache-2.0
"""A small exact truth, made without the worlds: floor, wall, sky, a box, two balls, two people."""

import numpy as np
import pytest

from diception_ros.tasks import Person, Truth

# A person from the front, x to the left and y up from the ground, in metres.
STANDING = np.array(
    [
        (0, 1.60),
        (0.035, 1.64),
        (-0.035, 1.64),
        (0.08, 1.62),
        (-0.08, 1.62),
        (0.2, 1.42),
        (-0.2, 1.42),
        (0.28, 1.14),
        (-0.3, 1.14),
        (0.31, 0.88),
        (-0.42, 0.93),
        (0.12, 0.93),
        (-0.12, 0.93),
        (0.13, 0.5),
        (-0.16, 0.5),
        (0.14, 0.09),
        (-0.2, 0.09),
    ]
)
BODY = (
    (5, 6),
    (5, 11),
    (6, 12),
    (11, 12),
    (5, 12),
    (6, 11),
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
)


def make_truth(width=640, height=480):
    focal, eye = 0.8 * width, 1.2  # pixels; metres above the floor
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    rows, columns = np.mgrid[:height, :width]
    x, y = (columns - intrinsics[0, 2]) / focal, (rows - intrinsics[1, 2]) / focal
    depth = np.full((height, width), np.inf, np.float32)
    normals = np.zeros((height, width, 3), np.float32)
    instances = np.full((height, width), 3, np.int32)
    categories = {1: 'floor', 2: 'wall', 3: 'sky'}

    def put(label, where, z, normal):
        nearer = where & (z < depth)
        depth[nearer] = np.broadcast_to(z, depth.shape)[nearer]
        normals[nearer] = np.broadcast_to(normal, normals.shape)[nearer]
        instances[nearer] = label

    put(1, y > 0.05, eye / np.maximum(y, 1e-6), (0, -1, 0))
    put(2, columns < 0.7 * width, np.full(depth.shape, 6.0), (0, 0, -1))
    categories[4] = 'box'
    put(
        4,
        (np.abs(x * 3 + 1.1) < 0.3) & (y * 3 < eye) & (y * 3 > eye - 0.5),
        np.full(depth.shape, 3.0),
        (0, 0, -1),
    )
    for label, (cx, cy, cz, radius) in {
        5: (0.9, 0.85, 3.2, 0.35),
        6: (-0.2, 0.95, 2.8, 0.25),
    }.items():
        categories[label] = 'ball'
        b, a = x * cx + y * cy + cz, x * x + y * y + 1
        root = b * b - a * (cx * cx + cy * cy + cz * cz - radius**2)
        z = (b - np.sqrt(np.maximum(root, 0))) / a
        normal = (np.stack([x, y, np.ones_like(x)], 2) * z[..., None] - (cx, cy, cz)) / radius
        put(label, root > 0, z, normal)
    people = []
    for label, (away, side) in {7: (3.5, 0.3), 8: (4.5, 1.2)}.items():
        categories[label] = 'person'
        spots = np.stack([side + STANDING[:, 0], eye - STANDING[:, 1], np.full(17, away)], axis=1)
        pixels = spots[:, :2] / away * focal + intrinsics[:2, 2]
        head = pixels[0]
        where = (columns - head[0]) ** 2 + (rows - head[1]) ** 2 < (0.11 * focal / away) ** 2
        for a, b in BODY:
            way = pixels[b] - pixels[a]
            share = np.clip(
                ((columns - pixels[a, 0]) * way[0] + (rows - pixels[a, 1]) * way[1]) / (way @ way),
                0,
                1,
            )
            where |= (columns - pixels[a, 0] - share * way[0]) ** 2 + (
                rows - pixels[a, 1] - share * way[1]
            ) ** 2 < (0.07 * focal / away) ** 2
        put(label, where, np.full(depth.shape, away), (0, 0, -1))
        inside = (pixels >= 0).all(1) & (pixels <= (width - 1, height - 1)).all(1)
        people.append(
            Person(
                label,
                np.column_stack([pixels, 2 * inside]).astype(np.float32),
                spots.astype(np.float32),
            )
        )
    shade = np.random.default_rng(0).integers(0, 256, (9, 3))
    return Truth(
        shade[instances].astype(np.uint8),
        depth,
        normals,
        instances,
        categories,
        people,
        intrinsics,
        np.eye(4),
    )


@pytest.fixture(scope='session')
def truth():
    return make_truth()


@pytest.fixture(scope='session')
def small_truth():
    return make_truth(128, 128)
