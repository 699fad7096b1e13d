# SPDX-License-Identifier: Apache-2.0
"""What the node listens to: images, camera_info, clicks and reference depth.

Subscriptions exist only while the node is active. The executor's thread fills, the worker's reads.
"""

import collections
import time

from geometry_msgs.msg import Point, PointStamped
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from diception_ros.geometry.camera import CameraModel
from diception_ros.ros import images
from diception_ros.ros.clouds import CloudError, xyz_of
from diception_ros.ros.frames import Frame

SILENCE = 5.0  # seconds without an image that are worth a warning
OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
               QoSPolicyKind.DURABILITY)


class Inputs:
    """The node's subscriptions and the latest of what they brought."""

    def __init__(self, node):
        self._node = node
        self._subscriptions = []
        self._forget()

    def _forget(self):
        self._image_topic = ''
        self._compressed = False
        self._heard = time.monotonic()      # the last image, or the subscription
        self._accepted = 0.0                # the last image that was handed to the worker
        self._camera_info = None
        self._camera = None                 # (CameraInfo, rectified, CameraModel or None)
        self._references = collections.deque(maxlen=10)     # reference_depth
        self._clouds = collections.deque(maxlen=10)         # reference_points

    def subscribe(self):
        """Begin to listen."""
        self._forget()
        settings = self._node.settings
        queue = settings['drop_frames'] is False
        self._compressed = settings['image_transport'] == 'compressed'
        self._listen(CameraInfo, 'camera_info', self._on_camera_info)
        self._listen(Image, 'reference_depth', self._on_reference_depth)
        self._listen(PointCloud2, 'reference_points', self._on_reference_points)
        self._listen(Point, 'clicked_pixel', self._on_clicked_pixel, depth=10)
        self._listen(PointStamped, 'clicked_point', self._on_clicked_point, depth=10)
        # The last one: of what has arrived together, rclpy's executor takes the picture last, and
        # its camera_info and reference are known then.
        self._image_topic = self._listen(
            CompressedImage if self._compressed else Image,
            'image/compressed' if self._compressed else 'image', self._on_image,
            depth=settings['queue_size'] if queue else 1, reliable=queue)

    def unsubscribe(self):
        """Stop listening and forget what was heard."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self._forget()

    def _listen(self, message_type, name, callback, depth=1, reliable=False):
        # Sensor-data QoS: it takes what reliable and best-effort publishers alike offer.
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=depth,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        topic = self._node.resolve_topic_name(name)

        def incompatible(event):
            policy = qos_policy_name_from_kind(event.last_policy_kind).split('_QOS')[0].lower()
            self._node.health.warn(
                f'qos {topic}', f'a publisher of {topic} offers another {policy} than asked for '
                f'and is not heard: change its QoS, or set the parameter qos_overrides.{topic}.'
                f'subscription.{policy}')

        self._subscriptions.append(self._node.create_subscription(
            message_type, name, callback, qos,
            qos_overriding_options=QoSOverridingOptions(self._overridable(topic)),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=incompatible)))
        return topic

    def _overridable(self, topic):
        """Return the QoS policies that parameters decide: all at first, then what the user set.

        rclpy keeps the defaults of the first subscription as parameters; drop_frames may want
        others for the next one.
        """
        prefix = f'qos_overrides.{topic}.subscription.'
        return [policy for policy in OVERRIDABLE
                if not self._node.has_parameter(prefix + policy.name.lower())
                or prefix + policy.name.lower() in self._node._parameter_overrides]

    # ---- images

    def _on_image(self, message):
        node, now = self._node, time.monotonic()
        self._heard = now
        if not node.enabled:
            return
        node.health.count('received')
        try:
            images.check(message)  # here, so that a broken message displaces no good one
        except images.ImageError as error:
            self.refuse_image(error)
            return
        rate = node.settings['max_rate']
        if rate and now - self._accepted < 1.0 / rate:
            node.health.count('dropped')
            return
        self._accepted = now
        dropped = node.worker.offer(Frame(message, now, node.generation))
        node.health.count('dropped', dropped)
        if dropped and not node.settings['drop_frames']:
            node.health.warn('queue full', f'{self._image_topic}: the queue of '
                             f'{node.settings["queue_size"]} frames is full, the oldest is '
                             'dropped: play slower, or set queue_size higher')

    def refuse_image(self, error):
        """Say that an image cannot be used, and why; the next one is waited for."""
        self._node.health.count('unusable')
        self._node.health.warn('unusable image', f'{self._image_topic}: image ignored: {error}')

    def mention_damage(self, words):
        """Say that a compressed image is answered although bytes of it are broken."""
        self._node.health.warn('damaged image', f'{self._image_topic}: an image is damaged, its '
                               f'answers may be wrong: {words}')

    def check_silence(self):
        """Warn when no image has come for a while, with the topics where there are some."""
        silence = time.monotonic() - self._heard
        node = self._node
        if not self._subscriptions or not node.enabled or silence < SILENCE:
            return
        topic, kind = self._image_topic, 'CompressedImage' if self._compressed else 'Image'
        text = f'no image on {topic} for {silence:.0f} s'
        publishers = node.get_publishers_info_by_topic(topic)
        if publishers:
            text += (f': {len(publishers)} publisher is there, so the transport loses them or it '
                     'stands still (for Fast DDS set FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA on both '
                     'sides)')
        else:
            others = sorted(
                name for name, types in node.get_topic_names_and_types()
                if f'sensor_msgs/msg/{kind}' in types and name != topic
                # not the outputs of this node, nor of another camera's
                and any(info.node_name != node.get_name()
                        for info in node.get_publishers_info_by_topic(name)))
            text += (f': remap image to one of {", ".join(others[:10])}' if others else
                     f'; no other node publishes a sensor_msgs/{kind} either: start the camera')
        node.health.warn('no image', text)

    # ---- the camera

    def _on_camera_info(self, message):
        self._camera_info = message

    def camera_for(self, header, width, height, settings):
        """Return (CameraModel, CameraInfo with `header`) of a picture, None where unknown.

        The model is that of the latest camera_info; a picture of another size is taken as the same
        view, resampled.
        """
        info = self._camera_info
        if info is None:
            return None, None
        topic = self._node.resolve_topic_name('camera_info')
        if self._camera is None or self._camera[0] is not info:
            if self._camera is None or not _same_camera(self._camera[0], info):
                model = None
                try:
                    model = CameraModel(info.k, (info.width, info.height), info.d, info.r, info.p,
                                        info.distortion_model, settings['rectified'])
                except ValueError as error:
                    self._node.health.warn('camera', f'{topic}: {error}')
                self._camera = info, settings['rectified'], model
            else:
                self._camera = info, *self._camera[1:]
        if self._camera[1] != settings['rectified']:
            self._camera = None
            return self.camera_for(header, width, height, settings)
        model = self._camera[2]
        skew = abs(info.width * height - info.height * width)
        if model is not None and skew > max(width, height):
            self._node.health.warn('camera', f'{topic} is of a {info.width}x{info.height} camera, '
                                   f'the image is {width}x{height}: another shape, ignored')
            return None, None
        stamped = _copy_of(info, header)
        if model is not None and model.size != (width, height):
            try:
                model = model.resized((width, height))
            except ValueError as error:
                self._node.health.warn('camera', f'{topic}: {error}')
                return None, None
            stamped = _resized(stamped, width, height)
        return model, stamped

    # ---- reference depth

    def _on_reference_depth(self, message):
        self._references.append(message)

    def _on_reference_points(self, message):
        self._node.transforms.listen()  # where TF is missing, the picture that needs it says so
        self._clouds.append(message)

    def prepare(self, settings):
        """Collect what the settings will need; on the executor's thread."""
        if settings['depth.gravity_frame']:
            self._node.transforms.listen()  # where TF is missing, the picture that needs it says so

    def gravity_for(self, header, settings):
        """Return the direction of down in the camera's optical frame, float64 (3,), or None."""
        frame = settings['depth.gravity_frame']
        if settings['depth.scale'] != 'ground_plane' or not frame:
            return None
        try:
            to_camera = self._node.transforms.matrix(header.frame_id, frame, header.stamp)
        except LookupError as error:
            self._node.health.warn('gravity', 'depth.gravity_frame is not used, the floor is found '
                                   f'by the normals alone: {error}')
            return None
        return -to_camera[:3, 2]

    def reference_for(self, header, camera, settings):
        """Return the reference depth nearest in time, float32 metres (h, w), or None.

        A depth picture wins over a lidar's points, which are drawn into `camera`'s picture.
        """
        if settings['depth.scale'] != 'reference':
            return None
        topic, tolerance = 'reference_depth', settings['depth.reference_tolerance']
        try:
            depth = _nearest(self._references, header.stamp, tolerance)
            if depth is not None:
                return images.to_depth(depth)
            topic = 'reference_points'
            cloud = _nearest(self._clouds, header.stamp, tolerance)
            if cloud is None or camera is None:
                return None
            points = xyz_of(cloud)
            if cloud.header.frame_id != header.frame_id:
                to_camera = self._node.transforms.matrix(header.frame_id, cloud.header.frame_id,
                                                         header.stamp)
                points = points @ to_camera[:3, :3].T + to_camera[:3, 3]
            return camera.depth_of(points)
        except (images.ImageError, CloudError, LookupError) as error:
            self._node.health.warn('reference', f'{self._node.resolve_topic_name(topic)}: message '
                                   f'ignored: {error}')
            return None

    # ---- clicks

    def _on_clicked_pixel(self, message):
        node = self._node
        self._clicked('clicked_pixel', node.clicks.add_pixel(
            message.x, message.y, node.point_capacity, node.settings['points.on_full']))

    def _on_clicked_point(self, message):
        node = self._node
        xyz = message.point.x, message.point.y, message.point.z
        node.transforms.listen()  # where TF is missing, the picture that needs it says so
        self._clicked('clicked_point', node.clicks.add_point(
            xyz, message.header.frame_id, message.header.stamp, node.point_capacity,
            node.settings['points.on_full']))

    def _clicked(self, name, refusal):
        topic = self._node.resolve_topic_name(name)
        if refusal:
            self._node.health.warn(name, f'{topic}: click ignored: {refusal}')
        elif 'segmentation' not in self._node.settings['tasks']:
            self._node.health.warn(name, f"{topic}: the click is kept, but the parameter 'tasks' "
                                   'has no segmentation')


def _nearest(messages, stamp, tolerance):
    """Return the message nearest to `stamp` in time, None if none is within `tolerance` s."""
    def distance(message):
        other = message.header.stamp
        return abs(other.sec - stamp.sec + 1e-9 * (other.nanosec - stamp.nanosec))

    nearest = min(list(messages), key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) <= tolerance else None


def _same_camera(a, b):
    return ((a.width, a.height, a.distortion_model) == (b.width, b.height, b.distortion_model)
            and all(list(getattr(a, part)) == list(getattr(b, part)) for part in 'kdrp'))


def _copy_of(info, header):
    return CameraInfo(header=header, height=info.height, width=info.width, k=info.k, d=info.d,
                      r=info.r, p=info.p, distortion_model=info.distortion_model,
                      binning_x=info.binning_x, binning_y=info.binning_y, roi=info.roi)


def _resized(info, width, height):
    """Scale a CameraInfo to another picture size, in place; corners stay corners."""
    sx, sy = width / info.width, height / info.height
    for name, columns in (('k', 3), ('p', 4)):
        matrix = list(getattr(info, name))
        for column in range(columns):
            matrix[column] *= sx
            matrix[columns + column] *= sy
        matrix[2] += 0.5 * sx - 0.5
        matrix[columns + 2] += 0.5 * sy - 0.5
        setattr(info, name, matrix)
    info.width, info.height = width, height
    return info
