# SPDX-License-Identifier: Apache-2.0
"""Depth: an image of relative (affine-invariant) disparity, near = 1."""

import numpy as np

from diception_ros.tasks import drawing
from diception_ros.tasks.parameter import Parameter
from diception_ros.tasks.pictures import clean, grey, resized
from diception_ros.tasks.task import Metric, Panel, Published, Task, Topic

FARTHEST = 80.0  # metres; what is farther is not judged, as usual on KITTI (Eigen et al., 2014)


def relative_disparity(depth):
    """Disparity of a depth map, scaled to [0, 1].

    depth: (H, W) metres along Z, +inf for sky. Returns float32 (H, W): 1/z, affine so that its 2nd
    and 98th percentile over finite depth are 0 and 1, clipped; sky 0; 0.5 where all is equally
    far.
    """
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.divide(1, depth, out=np.zeros(depth.shape, np.float32), where=known)
    values = inverse[known]
    if values.size == 0:
        return inverse
    k = int(0.02 * (values.size - 1))
    parted = np.partition(values, (k, values.size - 1 - k))
    low, high = parted[k], parted[values.size - 1 - k]
    if high - low < 1e-4 * high:
        return np.where(known, np.float32(0.5), np.float32(0))
    return np.clip((inverse - low) / (high - low), 0, 1) * known


def colored(disparity, frame):
    return drawing.depth(disparity, frame.settings['palette'])


class Depth(Task):
    """Result: float32 (H, W), relative disparity in [0, 1], near = 1."""

    kind = field = default = truth_field = 'depth'
    meaning = 'float32 (H, W), relative disparity in [0, 1], near = 1, no unit'
    published = Published('[[image2depth]]', 1, 1.0)
    topics = (
        Topic('depth/relative', 'disparity in [0, 1], near = 1, no unit: what the model itself '
              'knows', '32FC1'),
        Topic('depth/color', 'the same for eyes', 'rgb8', colored),
        Topic('depth/image_raw', 'metres along Z (REP-118), NaN where unknown; only when a scale '
              'is known', '32FC1', lambda _, frame: frame.metric_depth, metric=True),
        Topic('depth/camera_info', "goes with depth/image_raw: the camera's own, with the image's "
              'header', type='sensor_msgs/msg/CameraInfo', message='depth.camera_info',
              metric=True),
        Topic('points', 'x y z rgb and normals, from the metric depth',
              type='sensor_msgs/msg/PointCloud2', message='depth.point_cloud', metric=True,
              uses=('normals',), group='points'),
    )
    parameters = (
        Parameter('depth.scale', 'reference', 'Where metres come from: reference (reference_depth, '
                  'or reference_points of a lidar), '
                  'ground_plane (depth.camera_height and camera_info), near_far (depth.near and '
                  'depth.far), none (no metric outputs).',
                  choices=('reference', 'ground_plane', 'near_far', 'none')),
        Parameter('depth.near', 0.3, 'Distance of the nearest surface, metres, for near_far.',
                  0.001, 1000.0),
        Parameter('depth.far', 10.0, 'Distance of the farthest surface, metres, with depth.scale '
                  'near_far.', 0.001, 1000.0),
        Parameter('depth.camera_height', 0.0, 'Height of the camera above the floor, metres, for '
                  'depth.scale ground_plane; 0 = unknown.', 0.0, 100.0),
        Parameter('depth.gravity_frame', '', 'Frame whose z axis points up (odom, base_footprint): '
                  "with TF it tells ground_plane the floor's direction; empty = read from the "
                  'normals.'),
        Parameter('depth.reference_tolerance', 0.1, 'A reference is used for images whose stamp '
                  'is at most this many seconds away.', 0.0, 10.0),
        Parameter('depth.keep_reference', True, "Where the reference has a value, depth/image_raw "
                  "has the reference's own."),
        Parameter('cloud.stride', 1, 'The cloud has every n-th pixel of every n-th row.', 1, 64),
    )
    inset = True
    panel = Panel('Depth', 'bright is near', 'depth/color', 'depth/relative')
    metrics = (Metric('absrel', '', less_is_better=True), Metric('delta1', ''))
    loss, target_channels = 'regression', 1
    color = staticmethod(colored)

    @classmethod
    def check_settings(cls, settings):
        if settings['depth.near'] >= settings['depth.far']:
            raise ValueError(f"parameter 'depth.near': {settings['depth.near']} is not below "
                             f"depth.far ({settings['depth.far']})")
        if settings['depth.scale'] == 'ground_plane' and settings['depth.camera_height'] == 0:
            raise ValueError("parameter 'depth.scale': ground_plane needs the camera's height "
                             'above the floor: set depth.camera_height first')

    @classmethod
    def files(cls, result, frame):
        return {'depth.png': colored(result, frame),
                'depth_raw.png': np.rint(result * 65535).astype(np.uint16)}

    def summary(self, figures):
        return f'AbsRel {figures["absrel"]:.3f}, δ1 {figures["delta1"]:.0%} after a scale fit'

    def encode(self, truth, rng=None, points=None):
        return np.repeat(relative_disparity(truth.depth)[..., None], 3, axis=2)

    def decode(self, image):
        return grey(clean(image))

    def score(self, result, truth):
        """AbsRel, delta1 and the share within 10 % of the truth, after the least-squares fit of
        `1/z = a * result + b` to it.

        Only true depth up to FARTHEST counts: at the horizon of an open ground the smallest error
        of disparity is any number of metres. Fitted depth is clipped to half the nearest and twice
        the farthest true depth.
        """
        known = (truth.depth > 0) & (truth.depth <= FARTHEST)
        if not known.any():
            return {'absrel': np.nan, 'delta1': np.nan, 'within10': np.nan}
        depth = truth.depth[known].astype(np.float64)
        disparity = resized(result, truth.depth.shape)[known].astype(np.float64)
        centred, inverse = disparity - disparity.mean(), 1 / depth
        spread = (centred**2).mean()
        a = (centred * inverse).mean() / spread if spread > 1e-12 else 0.0
        fitted = 1 / np.clip(a * centred + inverse.mean(), 0.5 / depth.max(), 2 / depth.min())
        relative = np.abs(fitted - depth) / depth
        return {
            'absrel': float(relative.mean()),
            'within10': float((relative <= 0.1).mean()),
            'delta1': float((np.maximum(fitted / depth, depth / fitted) < 1.25).mean()),
        }

    def constant_baseline(self, truths):
        """The mean disparity image: the best answer of one who does not look."""
        return np.mean([relative_disparity(truth.depth) for truth in truths], axis=0)
