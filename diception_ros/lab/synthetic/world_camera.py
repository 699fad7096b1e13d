# SPDX-License-Identifier: Apache-2.0
"""The node `world_camera`: a camera that moves through a made-up world, for trying things out.

Publishes camera/image_raw (rgb8), camera/camera_info and camera/reference_depth (sparse, noisy
32FC1 metres), reliable; where tf2_ros is installed also the transform from `map` to the camera, so
that RViz's Publish Point can be tried. The move is drawn once, then played to and fro.
"""

import math
import os
import signal
import sys

if os.path.basename(sys.argv[0]) == 'world_camera':
    # Ctrl-C during the imports below ends the process at once, in silence.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from diception_ros.bags.rosbag2 import sparse_depth
from diception_ros.lab.synthetic import camera_move
from diception_ros.ros.ending import end_soon
from diception_ros.ros.images import from_array


class WorldCamera(Node):
    """Publishes one view of the move per tick."""

    def __init__(self):
        super().__init__('world_camera')
        self.seed = self._number('seed', 7, 0)
        self.rate = self._number('rate', 10.0, 0.01)
        self.size = self._number('width', 640, 16), self._number('height', 480, 16)
        self.frames = self._number('frames', 60, 1)
        self.worlds = self.declare_parameter('worlds', 'easy').value
        self.frame_id = self.declare_parameter('frame_id', 'camera_optical_frame').value
        self.images = self.create_publisher(Image, 'camera/image_raw', 1)
        self.infos = self.create_publisher(CameraInfo, 'camera/camera_info', 1)
        self.depths = self.create_publisher(Image, 'camera/reference_depth', 1)
        self.transforms = self._transform_broadcaster()
        self.views = self._to_and_fro()
        self.create_timer(1.0 / self.rate, self.tick)

    def _number(self, name, default, lowest):
        value = self.declare_parameter(
            name, default, ParameterDescriptor(dynamic_typing=True)).value  # 10 is welcome for 10.0
        kind = type(default)
        if type(value) not in (int, kind) or not lowest <= value < math.inf:
            word = {int: 'an integer', float: 'a number'}[kind]
            raise ValueError(f"parameter '{name}': {value!r} is not {word} of {lowest} or more")
        return kind(value)

    def _transform_broadcaster(self):
        try:
            from tf2_ros import TransformBroadcaster
        except ImportError:
            self.get_logger().info('tf2_ros is not installed: no transforms are published')
            return None
        return TransformBroadcaster(self)

    def _to_and_fro(self):
        drawn = []
        rng = np.random.default_rng(self.seed)
        for truth in camera_move(self.seed, self.frames, self.size, self.rate, self.worlds):
            view = truth.rgb, sparse_depth(truth.depth, rng), truth.intrinsics, truth.camera_pose
            drawn.append(view)
            yield view
        while True:
            yield from reversed(drawn)
            yield from drawn

    def tick(self):
        """Publish the next view, stamped now."""
        rgb, depth, intrinsics, pose = next(self.views)
        header = Header(frame_id=self.frame_id, stamp=self.get_clock().now().to_msg())
        height, width = depth.shape
        info = CameraInfo(header=header, width=width, height=height, distortion_model='plumb_bob',
                          d=[0.0] * 5, r=np.eye(3).ravel(), k=intrinsics.ravel(),
                          p=np.hstack([intrinsics, np.zeros((3, 1))]).ravel())
        self.infos.publish(info)
        self.depths.publish(from_array(depth.astype(np.float32), '32FC1', header))
        self.images.publish(from_array(rgb, 'rgb8', header))
        if self.transforms is not None:
            self.transforms.sendTransform(transform_of(pose, header))


def transform_of(pose, header):
    """Make the TransformStamped of world_from_camera, float (4, 4)."""
    message = TransformStamped(child_frame_id=header.frame_id)
    message.header.frame_id, message.header.stamp = 'map', header.stamp
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = (float(v) for v in pose[:3, 3])
    turn.x, turn.y, turn.z, turn.w = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
    return message


def main():
    """Run the node until it is told to stop, and end the process: status 2 for bad parameters."""
    # rclpy ends the context at SIGINT; a KeyboardInterrupt on top of that could come anywhere.
    signal.signal(signal.SIGINT, lambda *_: None)
    rclpy.init()
    status, camera = 0, None
    try:
        camera = WorldCamera()
        rclpy.spin(camera)
    except Exception as error:
        if not rclpy.ok() or isinstance(error, ExternalShutdownException):
            pass  # told to stop
        elif isinstance(error, (ParameterException, ValueError)):
            rclpy.logging.get_logger('world_camera').fatal(' '.join(str(error).split()))
            status = 2
        else:
            raise
    end_soon(status)
    if camera is not None:
        camera.destroy_node()
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == '__main__':
    main()
