# SPDX-License-Identifier: Apache-2.0
"""Interactive segmentation: the clicked thing white on black, soft edges meaningful."""

import cv2
import numpy as np

from diception_ros.tasks import drawing
from diception_ros.tasks.parameter import Parameter
from diception_ros.tasks.pictures import clean, grey, resized
from diception_ros.tasks.task import Metric, Panel, Published, Task, Topic


def iou(guess, mask):
    """Intersection over union of two bool masks (H, W); 1 when both are empty."""
    union = np.count_nonzero(guess | mask)
    return float(np.count_nonzero(guess & mask) / union) if union else 1.0


def colored(soft, frame):
    return drawing.clicks(drawing.tinted(frame.rgb, 0, 1 - soft, 0.7), frame.points)


class Segmentation(Task):
    """Result: float32 (H, W) in [0, 1]; the thing is where it is over 0.5.

    Without a point nothing is asked of the model and the node publishes an empty mask: a robot then
    knows that nothing is selected, which silence would not tell.
    """

    kind = field = default = 'segmentation'
    meaning = 'float32 (H, W) in [0, 1], the clicked thing where it is over 0.5'
    published = Published('[[image2segmentation]]', 7, 1.0)
    needs_points = True
    topics = (
        Topic('segmentation/mask', 'the clicked thing, soft, 0 to 255; empty where nothing is '
              'clicked', 'mono8', lambda soft, _: cv2.convertScaleAbs(soft, alpha=255)),
        Topic('segmentation/color', 'the same for eyes', 'rgb8', colored),
    )
    parameters = (
        Parameter('points.mode', 'track', 'What a clicked pixel does in the following frames: '
                  'track follows the thing, fixed stays on its pixel, once is forgotten after one '
                  'mask.', choices=('track', 'fixed', 'once')),
        Parameter('points.on_full', 'replace', 'What a click does when as many points are set as '
                  'the model takes: replace the oldest, or refuse the click.',
                  choices=('replace', 'refuse')),
        Parameter('points.fixed_frame', '', 'Frame in which a clicked_point stands still (odom, '
                  'map); empty = the frame that it was clicked in, as RViz sends it.'),
    )
    panel = Panel('The clicked thing', 'found again in every frame', 'segmentation/color',
                  'segmentation/mask')
    metrics = (Metric('miou', 'one click'),)
    loss = 'mask'
    color = staticmethod(colored)

    @classmethod
    def result_in(cls, frame):
        soft = frame.perception.segmentation
        if soft is None and cls.kind in frame.settings['tasks']:
            return np.zeros(frame.rgb.shape[:2], np.float32)
        return soft

    @classmethod
    def files(cls, result, frame):
        return {'segmentation.png': np.rint(result * 255).astype(np.uint8)}

    def result_of(self, message):
        return message / np.float32(255)

    def summary(self, figures):
        return f'IoU {figures["miou"]:.2f} of the clicked thing'

    def encode(self, truth, rng=None, points=None, label=None):
        """White on instance `label`, or on what lies under the first of `points`, (x, y) in [0,
        1]."""
        if label is None:
            label = label_at(truth, points)
        mask = (truth.instances == label).astype(np.float32)
        return np.repeat(mask[..., None], 3, axis=2)

    def decode(self, image):
        return grey(clean(image))

    def score(self, result, truth, label=None, points=None):
        if label is None:
            label = label_at(truth, points)
        mask = truth.instances == label
        return {'miou': iou(resized(result, mask.shape) > 0.5, mask)}

    def constant_baseline(self, truths):
        """The whole image."""
        return np.ones(truths[0].instances.shape, np.float32)


def label_at(truth, points):
    """The instance under the first of `points`, (x, y) in [0, 1]."""
    if points is None or len(points) == 0:
        raise ValueError('segmentation needs a label or points')
    height, width = truth.instances.shape
    x, y = points[0]
    return int(truth.instances[min(int(y * height), height - 1), min(int(x * width), width - 1)])
