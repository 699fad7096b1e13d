# SPDX-License-Identifier: Apache-2.0
"""What is known about a picture: the ground truth that tasks draw their target pictures from."""

from dataclasses import dataclass, field

import numpy as np

# The categories of the procedural worlds. Things are counted one by one; stuff is one instance per
# category and scene (all walls of a room are one 'wall'). 'floor' is the ground outdoors as well.
CATEGORIES = ('floor', 'wall', 'ceiling', 'sky', 'table', 'box', 'ball', 'cylinder', 'person')
STUFF = ('floor', 'wall', 'ceiling', 'sky')


@dataclass
class Person:
    """One person of a picture, joints in COCO order (see `skeleton.JOINTS`)."""

    label: int                 # id in Truth.instances
    keypoints: np.ndarray      # float32 (17, 3): x, y in pixels; third: 2 visible, 1 hidden, 0 out
    keypoints_3d: np.ndarray   # float32 (17, 3), metres, optical frame


@dataclass
class Truth:
    """Exact ground truth of one picture of H rows and W columns."""

    rgb: np.ndarray            # uint8 (H, W, 3)
    depth: np.ndarray          # float32 (H, W), metres along Z; +inf for sky
    normals: np.ndarray        # float32 (H, W, 3), optical frame, unit, facing us; 0 for sky
    instances: np.ndarray      # int32 (H, W), 0 = nothing known; every surface has an id >= 1
    categories: dict[int, str]  # instance id -> category
    people: list[Person]
    intrinsics: np.ndarray     # float64 (3, 3), pixel centres at integers (OpenCV)
    camera_pose: np.ndarray    # float64 (4, 4), world_from_camera(optical); world z up, metres
    stamp: float = field(default=0.0)   # seconds since the start of a camera's move
