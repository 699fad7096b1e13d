# SPDX-License-Identifier: Apache-2.0
"""TF, imported when the first transform is asked for: most robots' graphs have it, pip has not."""

import numpy as np
from scipy.spatial.transform import Rotation


class Transforms:
    """Transforms between frames by tf2_ros; `listen` on the executor's thread, `matrix` on any."""

    PATIENCE = 0.1  # seconds that a picture waits for the transform of its own stamp

    def __init__(self, node):
        self._node = node
        self._buffer = None
        self._problem = 'no transform has been asked for'

    def listen(self):
        """Begin to collect transforms, unless that was done; return why that fails, or None."""
        if self._buffer is not None:
            return None
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            self._problem = (f'tf2_ros is not installed ({error}): install '
                             "ros-$ROS_DISTRO-tf2-ros-py, or use the camera's own frame")
            return self._problem
        self._buffer = Buffer(node=self._node)
        self._listener = TransformListener(self._buffer, self._node)
        return None

    def matrix(self, target, source, stamp):
        """Return target_from_source at `stamp`, float64 (4, 4); LookupError says why not."""
        if self._buffer is None:
            raise LookupError(f"it is in frame '{source}', the camera in '{target}': "
                              f'{self._problem}')
        import tf2_ros
        from rclpy.duration import Duration
        from rclpy.time import Time
        try:
            found = self._buffer.lookup_transform(target, source, Time.from_msg(stamp),
                                                  Duration(seconds=self.PATIENCE)).transform
            return matrix_of(found.translation, found.rotation)
        except (tf2_ros.TransformException, ValueError, OverflowError) as error:
            raise LookupError(f"no transform from '{source}' to '{target}' at the image's stamp: "
                              f'{" ".join(str(error).split())}') from None


def matrix_of(translation, rotation):
    """Return float64 (4, 4) of a geometry_msgs Vector3 and Quaternion; ValueError if that is 0."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(
        (rotation.x, rotation.y, rotation.z, rotation.w)).as_matrix()
    matrix[:3, 3] = translation.x, translation.y, translation.z
    return matrix
