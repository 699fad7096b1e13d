# SPDX-License-Identifier: Apache-2.0
"""What is known about one frame: what the outputs publish, metres and places in space included."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from diception_ros.geometry import (
    complete_depth,
    fit_ground_plane,
    fit_near_far,
    fit_reference,
)
from diception_ros.tasks.frame import FrameResults


@dataclass
class Answer(FrameResults):
    """One answered frame of a camera."""

    header: Any           # std_msgs Header of the image, unchanged
    camera: Any           # geometry CameraModel of this picture, None while unknown
    camera_info: Any      # CameraInfo with this frame's header, None while unknown
    reference: Any        # float32 (h, w) metres, NaN unknown; None where there is none
    health: Any           # ros.diagnostics.Health
    gravity: Any = None   # (3,) the direction of down in the optical frame, None while unknown

    @cached_property
    def metric_depth(self):
        """float32 (H, W) metres along Z, NaN where unknown; None where no scale can be known.

        Worked out at the first use, for all outputs. A scale that could be known but is not good
        enough gives NaN everywhere; so does the sky, where the task 'semantic:sky' shows it.
        """
        mode, disparity = self.settings['depth.scale'], self.perception.depth
        if mode == 'none' or disparity is None:
            return None
        missing = self._missing_for(mode)
        if missing:
            self.health.note('depth scale', f'none: {missing}')
            self.health.warn('scale', f'no metres (depth.scale {mode}): {missing}')
            return None
        if mode == 'reference':
            scale = fit_reference(disparity, self.reference)
        elif mode == 'ground_plane':
            scale = fit_ground_plane(disparity, self.perception.normals, self.camera,
                                     self.settings['depth.camera_height'], self.gravity)
        else:
            scale = fit_near_far(self.settings['depth.near'], self.settings['depth.far'])
        self.health.note('depth scale', f'1/z = {scale.a:.4g} D + {scale.b:.4g}' if scale.ok
                         else f'none: {scale.reason}')
        self.health.note('depth residual percent', f'{100 * scale.residual:.2f}')
        if not scale.ok:
            self.health.warn('scale', f'no metres (depth.scale {mode}): {scale.reason}')
        sky = (self.perception.semantic or {}).get('sky')
        metres = scale.depth(disparity, known=None if sky is None else ~sky)
        if mode == 'reference' and self.settings['depth.keep_reference']:
            registered = self.reference.shape == metres.shape
            self.health.note('reference pixels', 'kept' if registered else
                             "not kept: reference_depth has not the image's size")
            if registered:
                metres = complete_depth(metres, self.reference)
        return metres

    def _missing_for(self, mode):
        """What depth.scale `mode` needs and this frame has not, with the way out; '' = nothing."""
        if mode == 'reference' and self.reference is None:
            return ('no reference_depth has a stamp within depth.reference_tolerance of the '
                    "image's: publish one, or set depth.scale to ground_plane or near_far")
        if mode == 'ground_plane' and self.camera is None:
            return 'no usable camera_info has arrived'
        if mode == 'ground_plane' and self.perception.normals is None:
            return "the parameter 'tasks' has no normals, which show the floor"
        return ''

    def entity_under(self, keypoints):
        """The label of the entity that most joints of keypoints (17, 3) lie on, or 0."""
        found = self.perception.entities
        if found is None:
            return 0
        height, width = found.labels.shape
        seen = keypoints[(keypoints[:, 2] > 0) & np.isfinite(keypoints[:, :2]).all(axis=1), :2]
        columns, rows = np.rint(seen).astype(int).T
        inside = (0 <= columns) & (columns < width) & (0 <= rows) & (rows < height)
        votes = np.bincount(found.labels[rows[inside], columns[inside]], minlength=1)
        return int(votes.argmax()) if votes.any() else 0

    @property
    def metres_in_use(self):
        """metric_depth if an output of this frame has asked for it, else None."""
        return self.__dict__.get('metric_depth')

    def joints_in_space(self, keypoints):
        """Places of keypoints (17, 3) in space: float (17, 3) metres, optical frame, or NaN."""
        places = np.full((len(keypoints), 3), np.nan)
        metres = self.metres_in_use
        if metres is None or self.camera is None:
            return places
        pixels = keypoints[:, :2]
        with np.errstate(invalid='ignore'):
            known = (keypoints[:, 2] > 0) & self.camera.contains(pixels)
        if known.any():
            columns, rows = np.rint(pixels[known]).astype(int).clip(
                0, np.array(metres.shape[::-1]) - 1).T
            z = metres[rows, columns][:, None]
            places[known] = np.hstack([self.camera.unproject(pixels[known]) * z, z])
        return places
