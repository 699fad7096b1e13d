# SPDX-License-Identifier: Apache-2.0
"""What is known about an image: the ground truth that tasks draw their target images from."""

from dataclasses import dataclass, field

import numpy as np

# The categories that can be trained: those of the synthetic scenes, then what photographs add.
# Things are counted one by one; stuff is one instance per category and scene (all walls of a room
# are one 'wall'). 'floor' is the ground outdoors as well.
CATEGORIES = ('floor', 'wall', 'ceiling', 'sky', 'table', 'box', 'ball', 'cylinder', 'person',
              'chair', 'sofa', 'bottle', 'plant', 'tv')
STUFF = ('floor', 'wall', 'ceiling', 'sky')


@dataclass
class Person:
    """One person of an image, joints in COCO order (see `skeleton.JOINTS`)."""

    label: int                 # id in Truth.instances
    keypoints: np.ndarray      # float32 (17, 3): x, y in pixels; third: 2 visible, 1 hidden, 0 out
    keypoints_3d: np.ndarray   # float32 (17, 3), metres, optical frame


@dataclass
class Truth:
    """Ground truth of one image of H rows and W columns: exact and whole for a synthetic scene,
    of a photograph what somebody has labelled.

    A field that is None is unknown. `known` says where a task has a truth: None = wherever its
    fields are given (synthetic scenes), else a bool mask (H, W) for each task that has any, by the
    task's name: 'depth', 'normals', 'entities', 'segmentation', 'pose', 'semantic:<category>'.
    Where the mask of a category is True, what is not labelled with it is not of it: that is how a
    photograph says that nobody is there.
    """

    rgb: np.ndarray            # uint8 (H, W, 3); a synthetic one may be (k H, k W, 3)
    depth: np.ndarray | None   # float32 (H, W), metres along Z; +inf for sky, 0 where not known
    normals: np.ndarray | None  # float32 (H, W, 3), optical frame, unit, facing us; 0 for sky
    instances: np.ndarray | None  # int32 (H, W), 0 = nothing known; a surface has an id >= 1
    categories: dict[int, str]  # instance id -> category
    people: list[Person] | None
    intrinsics: np.ndarray | None = None   # float64 (3, 3), pixel centres at integers (OpenCV)
    camera_pose: np.ndarray | None = None  # float64 (4, 4), world_from_camera(optical); z up, m
    stamp: float = field(default=0.0)   # seconds since the start of a camera's move
    known: dict[str, np.ndarray] | None = None

    @property
    def shape(self):
        """(H, W), also where `rgb` is larger."""
        return (self.rgb if self.instances is None else self.instances).shape[:2]

    def where_known(self, task):
        """Bool (H, W) of where the task called `task` has a truth, or None where it has none."""
        if self.known is not None:
            mask = self.known.get(task)
            return mask if mask is not None and mask.any() else None
        from diception_ros.tasks.registry import task_class  # whose tasks draw from truths
        if getattr(self, task_class(task).truth_field) is None:
            return None
        return np.ones(self.shape, bool)
