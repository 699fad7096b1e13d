# SPDX-License-Identifier: Apache-2.0
"""Point clouds in and out."""

import numpy as np
import pytest
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from diception_ros.geometry import CameraModel, point_cloud
from diception_ros.ros.clouds import CloudError, from_cloud, xyz_of

CAMERA = CameraModel([50, 0, 16, 0, 50, 12, 0, 0, 1], (32, 24))


def cloud_message():
    depth = np.full((24, 32), 2.0, np.float32)
    depth[0, 0] = np.nan
    rgb = np.zeros((24, 32, 3), np.uint8)
    return from_cloud(point_cloud(depth, CAMERA, rgb, np.zeros_like(rgb, np.float32)), Header())


def test_a_cloud_of_ours_can_be_read_back_and_drawn_into_the_picture():
    message = cloud_message()
    points = xyz_of(message)
    assert points.shape == (32 * 24 - 1, 3) and points.dtype == np.float32
    depth = CAMERA.depth_of(points)
    assert np.isnan(depth[0, 0]) and np.nanmax(np.abs(depth - 2.0)) < 1e-6


def test_padded_rows_and_big_endian_points_are_read():
    points = np.arange(12, dtype='>f4').reshape(2, 2, 3)
    message = cloud_message()
    message.fields = [PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1)
                      for i, n in enumerate('xyz')]
    message.height, message.width, message.point_step, message.row_step = 2, 2, 12, 30
    message.is_bigendian = True
    message.data = b''.join(row.tobytes() + b'......' for row in points)
    np.testing.assert_array_equal(xyz_of(message), points.reshape(4, 3))


@pytest.mark.parametrize('changes, words', [
    ({'fields': []}, 'no float32 fields'), ({'data': b'123'}, 'too little data'),
    ({'row_step': 1}, 'row_step is wrong'), ({'point_step': 4, 'row_step': 4 * 767}, 'too little'),
    ({'width': 2**31, 'row_step': 2**32 - 1}, 'row_step is wrong')])
def test_a_broken_cloud_is_refused_in_one_line(changes, words):
    message = cloud_message()
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(CloudError, match=words):
        xyz_of(message)


def test_an_empty_cloud_has_no_points():
    message = cloud_message()
    message.width = message.row_step = 0
    assert xyz_of(message).shape == (0, 3)
