# SPDX-License-Identifier: Apache-2.0
"""Surface normals: an image of unit vectors, one axis a channel, 0.5 = zero."""

import cv2
import numpy as np

from diception_ros.tasks import drawing
from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.pictures import clean, resized
from diception_ros.tasks.task import Metric, Panel, Published, Task, Topic

# The named directions in the optical frame: x right, y down, z forward.
_DIRECTIONS = {
    'right': (1, 0, 0),
    'left': (-1, 0, 0),
    'down': (0, 1, 0),
    'up': (0, -1, 0),
    'forward': (0, 0, 1),
    'back': (0, 0, -1),
}


def colored(normals, frame):
    return drawing.normals(normals)


class Normals(Task):
    """Result: float32 (H, W, 3), unit length, optical frame; what faces the camera has z < 0."""

    kind = field = default = truth_field = 'normals'
    meaning = ('float32 (H, W, 3), unit length, optical frame (x right, y down, z forward); what '
               'faces the camera has z < 0')
    published = Published('[[image2normal]]', 1, 1.0)
    topics = (
        Topic('normals/image_raw', 'unit normals in the optical frame; what faces the camera has '
              'z < 0', '32FC3'),
        Topic('normals/color', 'the same for eyes', 'rgb8', colored),
    )
    inset = True
    panel = Panel('Surface normals', 'a colour is a direction', 'normals/color',
                  'normals/image_raw')
    metrics = (Metric('mean_deg', 'degrees', less_is_better=True),
               Metric('median_deg', 'degrees', less_is_better=True))
    loss = 'regression'
    color = staticmethod(colored)

    def __init__(self, member='', conventions=Conventions()):
        super().__init__(member, conventions)
        # Row i is the direction of channel i: orthogonal, so its transpose is its inverse.
        self.axes = np.array([_DIRECTIONS[axis] for axis in conventions.normal_axes], np.float32)

    def encode(self, truth, rng=None, points=None):
        """Sky, whose normal is 0, becomes 0.5 grey."""
        return np.clip(truth.normals.astype(np.float32) @ (0.5 * self.axes.T) + 0.5, 0, 1)

    def ideal(self, truth, **clicked):
        return truth.normals

    def summary(self, figures):
        return f'{figures["mean_deg"]:.1f}° mean, {figures["median_deg"]:.1f}° median error'

    def decode(self, image):
        """Where the image gives no direction (grey), the answer is (0, 0, -1): facing the
        camera."""
        turned = np.column_stack([2 * self.axes.T, -self.axes.sum(axis=0)])  # of 2 p - 1
        x, y, z = cv2.split(cv2.transform(clean(image), turned))
        length = cv2.sqrt(x * x + y * y + z * z)
        # Half a step of an 8-bit image either way is no direction.
        grey = length <= 1 / 255
        x[grey], y[grey], z[grey], length[grey] = 0, 0, -1, 1
        return cv2.merge([part / length for part in (x, y, z)])

    def score(self, result, truth):
        """Mean and median angle to the true normal in degrees, where there is one (not sky)."""
        angles = self.angles(result, truth)
        if angles.size == 0:
            return {'mean_deg': np.nan, 'median_deg': np.nan}
        return {'mean_deg': float(angles.mean()), 'median_deg': float(np.median(angles))}

    def angles(self, result, truth):
        """Angles in degrees, float32 (K,), over the K pixels that have a true normal."""
        known = np.linalg.norm(truth.normals, axis=2) > 0.5
        guess = resized(result, truth.normals.shape)[known]
        guess = guess / np.maximum(np.linalg.norm(guess, axis=1, keepdims=True), 1e-6)
        cosine = np.einsum('ij,ij->i', guess, truth.normals[known])
        return np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    def constant_baseline(self, truths):
        """The mean normal map."""
        mean = np.mean([truth.normals for truth in truths], axis=0)
        length = np.linalg.norm(mean, axis=2, keepdims=True)
        return np.where(
            length > 1e-3, mean / np.maximum(length, 1e-6), np.array((0, 0, -1), np.float32)
        ).astype(np.float32)
