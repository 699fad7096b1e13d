# SPDX-License-Identifier: Apache-2.0
"""What the node listens to: images, camera_info, clicks and reference depth.

Subscriptions exist only while the node is active. The executor's thread fills, the worker's reads.
"""

import collections
import time

from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from diception_ros.bit_depth import BitDepth
from diception_ros.ros import images
from diception_ros.ros.camera_info import CameraCache
from diception_ros.ros.clouds import CloudError, xyz_of
from diception_ros.ros.frames import Frame, RateLimit
from diception_ros.ros.listener import Listener

SILENCE = 5.0  # seconds without an image that are worth a warning
COMPRESSED = '/compressed'  # what image_transport appends to the topic of the raw images


class Inputs:
    """The node's subscriptions and the latest of what they brought."""

    def __init__(self, node):
        self._node = node
        self._topic = ''                    # of the images
        self._listeners = []
        self._forget()

    def _forget(self):
        self._images = None                 # the Listener to images
        self._quiet_since = time.monotonic()    # the last image, the last work, the subscription
        self._latest = None                 # the last image
        self._heeded = None                 # what its answers were made of; see _listeners_now
        self._clicks_heard = 0
        self._rate_limit = RateLimit()
        self._bit_depth = BitDepth(self._tell_bits)
        self._camera_info = None
        self._cameras = CameraCache()
        self._meant = {''}                  # what was said of how camera_info is taken
        self._references = collections.deque(maxlen=10)     # reference_depth
        self._clouds = collections.deque(maxlen=10)         # reference_points

    def subscribe(self):
        """Begin to listen."""
        self._forget()
        settings = self._node.settings
        queue = settings['drop_frames'] is False
        self._listen(CameraInfo, 'camera_info', self._on_camera_info)
        self._listen(Image, 'reference_depth', self._on_reference_depth)
        self._listen(PointCloud2, 'reference_points', self._on_reference_points)
        self._listen(Point, 'clicked_pixel', self._on_clicked_pixel, depth=10, latched=False)
        self._listen(PointStamped, 'clicked_point', self._on_clicked_point, depth=10, latched=False)
        # The last one: of what has arrived together, rclpy's executor takes the picture last, and
        # its camera_info and reference are known then.
        compressed = settings['image_transport'] == 'compressed'
        self._images = self._listen(
            CompressedImage if compressed else Image,
            self._compressed_topic() if compressed else 'image', self._on_image,
            depth=settings['queue_size'] if queue else 1, reliable=queue)
        self._topic = self._images.topic

    def unsubscribe(self):
        """Stop listening and forget what was heard."""
        for listener in self._listeners:
            listener.destroy()
        self._listeners = []
        self._forget()

    def _listen(self, message_type, name, callback, **options):
        self._listeners.append(Listener(self._node, message_type, name, callback, **options))
        return self._listeners[-1]

    def _compressed_topic(self):
        """Return the topic of compressed images: image/compressed where it is remapped, else that
        of `image` with /compressed behind it, unless it is there already."""
        name, node = f'image{COMPRESSED}', self._node
        remapped = node.resolve_topic_name(name)
        if remapped != node.resolve_topic_name(name, only_expand=True):
            return remapped
        return node.resolve_topic_name('image').removesuffix(COMPRESSED) + COMPRESSED

    # ---- images

    def _on_image(self, message):
        self._quiet_since = time.monotonic()
        self._latest, self._heeded = message, None
        if not self._node.enabled:
            return
        self._node.health.count('received')
        try:
            images.check(message)  # here, so that a broken message displaces no good one
        except images.ImageError as error:
            self.refuse_image(error)
            return
        self._offer(message)

    def _offer(self, message):
        node, now = self._node, time.monotonic()
        if not self._rate_limit.admits(now, node.settings['max_rate']):
            node.health.count('dropped')
            return
        self._heeded = self._listeners_now()
        dropped = node.worker.offer(Frame(message, now, node.generation))
        node.health.count('dropped', dropped)
        if dropped and not node.settings['drop_frames']:
            node.health.warn('queue full', f'{self._topic}: the queue of '
                             f'{node.settings["queue_size"]} frames is full, the oldest is '
                             'dropped: play slower, or set queue_size higher')

    def to_rgb(self, message, settings):
        """Convert an image that was heard to uint8 RGB (H, W, 3); raises ImageError."""
        return images.to_rgb(
            message, self._mention_damage,
            lambda values: self._bit_depth.to_uint8(values, settings['image_bits']))

    def _tell_bits(self, text):
        self._node.health.tell(f'{self._topic}: {text}; the parameter image_bits can say '
                               'otherwise')

    def refuse_image(self, error):
        """Say that an image cannot be used, and why; the next one is waited for."""
        self._node.health.count('unusable')
        self._node.health.warn('unusable image', f'{self._topic}: image ignored: {error}')

    def _mention_damage(self, words):
        """Say that a compressed image is answered although bytes of it are broken."""
        self._node.health.warn('damaged image', f'{self._topic}: an image is damaged, its '
                               f'answers may be wrong: {words}')

    def every_second(self):
        """Look after the topics: publishers that latch, a still image, none at all."""
        node = self._node
        for listener in self._listeners:
            listener.follow()
        if self._images is None or not node.enabled:
            return
        if node.worker.busy:
            self._quiet_since = time.monotonic()  # a player may wait for the answer
            return
        still = bool(self._images.latching()) and self._latest is not None
        if still and self._heeded != self._listeners_now():
            # It holds until another comes, also for who listens, clicks or sets something now.
            node.health.count('received')
            self._offer(self._latest)
        silence = time.monotonic() - self._quiet_since
        if silence >= SILENCE and not (still and self._images.count == 1):
            node.health.warn('no image', f'no image on {self._topic} for {silence:.0f} s'
                             f'{self._why_silent()}')

    def _listeners_now(self):
        """Return what the answers to an image depend on, beside the image."""
        node = self._node
        return (node.outputs.listeners(), id(node.settings), self._clicks_heard, len(node.clicks),
                self._camera_info is None)

    def _why_silent(self):
        """Return the rest of the line that no image comes: why, and the way out."""
        listener = self._images
        topic, kind = listener.topic, listener.own_type()
        there = listener.publishers()
        fitting = [info for info in there if info.topic_type == kind]
        if there and not fitting:
            other = there[0].topic_type
            return f', where {other} is published, not {kind}: {_transport_of(other)}'
        unheard = list(filter(None, map(listener.incompatible, fitting)))
        if fitting and len(unheard) == len(fitting):
            return (f': {len(fitting)} publisher is there whose QoS does not fit '
                    f'({unheard[0].rstrip("; ")}): change it, or set the parameters '
                    f'qos_overrides.{topic}.subscription.*')
        if fitting and len(listener.latching()) == len(fitting):
            if listener.count:
                return ': its publisher latches what it sends (transient local) and sends no more'
            return (': its publisher latches (transient local), but has sent nothing, or not as '
                    'reliable, which latching needs; or the parameter '
                    f'qos_overrides.{topic}.subscription.durability is volatile')
        if fitting:
            return (f': {len(fitting)} publisher is there, so the transport loses them or it '
                    'stands still (for Fast DDS set FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA on both '
                    'sides)')
        return self._where_else(topic, kind)

    def _where_else(self, topic, kind):
        """Return where images are, other than on `topic`, which nobody publishes."""
        node = self._node
        twin = (topic.removesuffix(COMPRESSED) if topic.endswith(COMPRESSED)
                else topic + COMPRESSED)
        types = dict(node.get_topic_names_and_types())
        for other in types.get(twin, ()):
            if other != kind and _transport_of(other) and node.count_publishers(twin):
                return f', but {other} on {twin}: {_transport_of(other)}'
        others = sorted(
            name for name, kinds in types.items() if kind in kinds and name != topic
            # not the outputs of this node, nor of another camera's
            and any(info.node_name != node.get_name()
                    for info in node.get_publishers_info_by_topic(name)))
        if others:
            return f': remap image to one of {", ".join(others[:10])}'
        return (f'; no other node publishes a {kind.replace("/msg/", "/")} either: start the '
                'camera')

    # ---- the camera

    def _on_camera_info(self, message):
        self._camera_info = message

    def camera_for(self, header, width, height, settings):
        """Return (CameraModel, CameraInfo with `header`) of an image, None where unknown.

        Both are of the image itself: what the latest camera_info says of ROI, binning and size has
        been applied (ros/camera_info.py).
        """
        info, health = self._camera_info, self._node.health
        if info is None:
            return None, None
        topic = self._node.resolve_topic_name('camera_info')
        try:
            model, stamped, meant = self._cameras.camera_for(info, header, (width, height),
                                                             settings['rectified'])
        except ValueError as error:
            health.warn('camera', f'{topic}: {error}')
            return None, None
        kind = meant.rpartition(': ')[2]
        if kind not in self._meant:  # once, also where the ROI moves from image to image
            self._meant.add(kind)
            health.tell(f'{topic}: {meant}')
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
        self._clicks_heard += 1
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



def _transport_of(kind):
    """Return how to listen to images of a type."""
    transport = {'sensor_msgs/msg/Image': 'raw',
                 'sensor_msgs/msg/CompressedImage': 'compressed'}.get(kind)
    return (f'set the parameter image_transport to {transport}' if transport else
            'remap image to a topic of images')
