# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs PointCloud2 to numpy, and a geometry Cloud to PointCloud2."""

import array

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField


class CloudError(ValueError):
    """A cloud that cannot be used; str() is one line."""


def xyz_of(message):
    """Return the points of a PointCloud2 in its own frame, float32 (N, 3), NaN if unknown."""
    fields = {field.name: field for field in message.fields}
    if not all(name in fields and fields[name].datatype == PointField.FLOAT32 for name in 'xyz'):
        raise CloudError('it has no float32 fields x, y and z')
    count = message.width * message.height
    if message.row_step < message.point_step * message.width:
        raise CloudError(f'its row_step is wrong: {message.row_step} bytes, but {message.width} '
                         f'points of {message.point_step} take more')
    if count == 0:
        return np.zeros((0, 3), np.float32)
    needed = (message.row_step * (message.height - 1) + message.point_step * message.width)
    last = max(fields[name].offset for name in 'xyz') + 4
    if last > message.point_step or len(message.data) < needed:
        raise CloudError(f'it has too little data: {len(message.data)} bytes for {message.width}x'
                         f'{message.height} points of {message.point_step}')
    order = '>f4' if message.is_bigendian else '<f4'
    return np.stack([np.ndarray((message.height, message.width), order, message.data,
                                fields[name].offset, (message.row_step, message.point_step))
                     for name in 'xyz'], -1).reshape(count, 3).astype(np.float32)


def from_cloud(cloud, header):
    """Make a PointCloud2 of a geometry Cloud."""
    data = array.array('B')
    data.frombytes(cloud.data.tobytes())
    fields = [PointField(name=name, offset=4 * number, datatype=PointField.FLOAT32, count=1)
              for number, name in enumerate(cloud.fields)]
    return PointCloud2(header=header, height=cloud.height, width=cloud.width, fields=fields,
                       is_bigendian=False, point_step=cloud.point_step, row_step=cloud.row_step,
                       data=data, is_dense=cloud.is_dense)
