# SPDX-License-Identifier: Apache-2.0
"""What the node says when no image comes, and when it says nothing."""

from types import SimpleNamespace

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from diception_ros.ros import inputs
from diception_ros.ros.diagnostics import Health
from diception_ros.ros.inputs import Inputs
from diception_ros.ros.listener import Listener
from diception_ros.ros.parameters import defaults

RELIABLE = QoSProfile(depth=1)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'


class Graph:
    """A node, as far as Inputs sees it, and the publishers around it: {topic: [(type, qos)]}."""

    def __init__(self, publishers=(), remaps=()):
        self.publishers, self.remaps, self.lines = dict(publishers), dict(remaps), []
        self.subscribed, self._parameter_overrides = [], {}
        self.settings, self.enabled, self.generation = defaults(), True, 0
        logger = SimpleNamespace(warning=self.lines.append, info=self.lines.append)
        self.health = Health(logger, throttle=0)
        self.offered = []
        self.worker = SimpleNamespace(
            busy=False, offer=lambda frame: self.offered.append(frame) or 0)
        self.outputs = SimpleNamespace(listeners=lambda: {'overlay': self.viewers})
        self.viewers, self.clicks = 1, []

    def resolve_topic_name(self, name, only_expand=False):
        expanded = name if name.startswith('/') else f'/{name}'
        return expanded if only_expand else self.remaps.get(name, expanded)

    def create_subscription(self, kind, topic, callback, qos, **_):
        self.subscribed.append(SimpleNamespace(
            kind=kind, topic=self.resolve_topic_name(topic), callback=callback, qos_profile=qos))
        return self.subscribed[-1]

    def destroy_subscription(self, subscription):
        self.subscribed.remove(subscription)

    def has_parameter(self, name):
        return False

    def get_name(self):
        return 'diception'

    def get_publishers_info_by_topic(self, topic):
        return [SimpleNamespace(topic_type=kind, qos_profile=qos, node_name='camera',
                                endpoint_gid=list(str((topic, kind, number)).encode()))
                for number, (kind, qos) in enumerate(self.publishers.get(topic, ()))]

    def get_topic_names_and_types(self):
        return [(topic, sorted({kind for kind, _ in found}))
                for topic, found in self.publishers.items()]

    def count_publishers(self, topic):
        return len(self.publishers.get(topic, ()))


def silent(graph, seconds=100, **settings):
    """Subscribe, let time pass, and return the Inputs and what was said."""
    graph.settings |= settings
    listening = Inputs(graph)
    listening.subscribe()
    listening._quiet_since -= seconds
    listening.every_second()
    return listening, graph.lines


@pytest.mark.parametrize('publishers, settings, words', [
    ({}, {}, 'no other node publishes a sensor_msgs/Image either: start the camera'),
    ({'/left': [(IMAGE, RELIABLE)]}, {}, 'remap image to one of /left'),
    ({'/image': [(IMAGE, BEST_EFFORT)]}, {}, 'the transport loses them or it stands still'),
    ({'/image': [(IMAGE, BEST_EFFORT)]}, {'drop_frames': False},
     'QoS does not fit (ERROR: Best effort publisher and reliable subscription)'),
    ({'/image': [(COMPRESSED, RELIABLE)]}, {}, 'set the parameter image_transport to compressed'),
    ({'/image/compressed': [(COMPRESSED, RELIABLE)]}, {},
     'on /image/compressed: set the parameter image_transport to compressed'),
    ({'/image': [(IMAGE, RELIABLE)]}, {'image_transport': 'compressed'},
     'on /image: set the parameter image_transport to raw'),
    ({'/image': [('sensor_msgs/msg/PointCloud2', RELIABLE)]}, {}, 'remap image to a topic of imag'),
    ({'/image': [(IMAGE, LATCHED)]}, {}, 'latches (transient local), but has sent nothing'),
])
def test_the_reason_why_no_image_comes_and_the_way_out_are_said(publishers, settings, words):
    _, [line] = silent(Graph(publishers), **settings)
    assert line.startswith('no image on /image') and ' for 100 s' in line and '\n' not in line
    assert words in line


def test_while_a_frame_is_under_way_silence_is_no_fault_and_it_counts_from_its_end():
    graph = Graph({'/image': [(IMAGE, RELIABLE)]})
    graph.worker.busy = True
    listening, lines = silent(graph)
    assert lines == []
    graph.worker.busy = False
    listening.every_second()
    assert lines == []
    listening._quiet_since -= inputs.SILENCE
    listening.every_second()
    assert len(lines) == 1


def test_nobody_is_blamed_while_the_node_is_disabled_or_not_active():
    graph = Graph()
    graph.enabled = False
    listening, lines = silent(graph)
    graph.enabled = True
    listening.unsubscribe()
    listening._quiet_since -= 100
    listening.every_second()
    assert lines == []


@pytest.mark.parametrize('remaps, topic', [
    ({}, '/image/compressed'),
    ({'image': '/camera/image_raw'}, '/camera/image_raw/compressed'),
    ({'image': '/camera/image_raw/compressed'}, '/camera/image_raw/compressed'),
    ({'image': '/camera/image_raw', 'image/compressed': '/jpeg'}, '/jpeg'),
])
def test_compressed_images_are_heard_where_the_remaps_say_in_every_spelling(remaps, topic):
    graph = Graph(remaps=remaps)
    silent(graph, 0, image_transport='compressed')
    assert [s.topic for s in graph.subscribed if s.kind is CompressedImage] == [topic]


def image(stamp, encoding='rgb8'):
    message = Image(width=1, height=1, step=3, encoding=encoding, data=[0, 0, 0])
    message.header.stamp.sec = stamp
    return message


def test_a_still_image_is_answered_anew_for_who_comes_later_and_is_no_silence():
    graph = Graph({'/image': [(IMAGE, LATCHED)]})
    listening, lines = silent(graph, 0)
    live, history = [s for s in graph.subscribed if s.topic == '/image']
    assert history.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    history.callback(image(7))
    live.callback(image(7))  # the same, the other way
    listening.every_second()
    assert len(graph.offered) == 1 and history not in graph.subscribed
    for change in ({'viewers': 2}, {'clicks': ['one']}, {'settings': dict(graph.settings)}):
        before = len(graph.offered)
        vars(graph).update(change)
        listening.every_second()
        listening.every_second()
        assert len(graph.offered) == before + 1, change
    listening._quiet_since -= 100
    listening.every_second()
    assert lines == []


def test_a_still_image_that_the_rate_limit_holds_back_is_answered_later():
    graph = Graph({'/image': [(IMAGE, LATCHED)]})
    graph.settings['max_rate'] = 1e-3
    listening, _ = silent(graph, 0)
    live = graph.subscribed[-2]
    live.callback(image(7))
    live.callback(image(8))
    listening.every_second()
    assert [frame.message.header.stamp.sec for frame in graph.offered] == [7]
    graph.settings['max_rate'] = 0.0
    listening.every_second()
    listening.every_second()
    assert [frame.message.header.stamp.sec for frame in graph.offered] == [7, 8]


def test_how_a_camera_info_is_taken_is_said_once_also_where_its_roi_moves():
    graph = Graph()
    listening, lines = silent(graph, 0)
    info = CameraInfo(width=64, height=48, k=[50.0, 0, 32, 0, 50, 24, 0, 0, 1])
    for offset in (4, 8):
        info.roi = RegionOfInterest(x_offset=offset, y_offset=0, width=32, height=48)
        listening._on_camera_info(info)
        listening.camera_for(Header(), 64, 48, graph.settings)
    [line] = lines
    assert line.startswith('/camera_info: ') and 'K is taken as of the image' in line


def test_an_image_that_came_while_the_node_was_disabled_is_answered_when_it_is_enabled():
    graph = Graph({'/image': [(IMAGE, LATCHED)]})
    listening, _ = silent(graph, 0)
    graph.enabled = False
    graph.subscribed[-1].callback(image(7))
    listening.every_second()
    assert graph.offered == []
    graph.enabled = True
    listening.every_second()
    assert len(graph.offered) == 1


def heard_by(graph, **options):
    """Return a Listener to /image, and the stamps of what it hears."""
    stamps = []
    return Listener(graph, Image, 'image', lambda message: stamps.append(message.header.stamp.sec),
                    **options), stamps


def test_the_history_of_every_publisher_that_latches_is_asked_for_once():
    graph = Graph({'/image': [(IMAGE, RELIABLE)]})
    listener, stamps = heard_by(graph)
    assert len(graph.subscribed) == 1
    for number, stamp in ((1, 5), (2, 6)):
        graph.publishers['/image'].append((IMAGE, LATCHED))
        listener.follow()
        graph.subscribed[1].callback(image(stamp))
        listener.follow()
        listener.follow()
        assert len(graph.subscribed) == 1 and stamps == [5, 6][:number]
    graph.publishers['/image'] = []
    listener.follow()
    graph.publishers['/image'] = [(IMAGE, RELIABLE), (IMAGE, LATCHED)]  # it was started again
    listener.follow()
    assert len(graph.subscribed) == 2
    listener.destroy()
    assert graph.subscribed == []


def test_what_was_latched_does_not_come_after_something_newer():
    graph = Graph({'/image': [(IMAGE, LATCHED)]})
    listener, stamps = heard_by(graph)
    live, history = graph.subscribed
    live.callback(image(8))
    history.callback(image(7))
    assert stamps == [8]


def test_no_second_subscription_where_the_user_sets_the_durability_or_clicks_are_heard():
    graph = Graph({'/image': [(IMAGE, LATCHED)]})
    heard_by(graph, latched=False)
    graph._parameter_overrides['qos_overrides./image.subscription.durability'] = 'volatile'
    heard_by(graph)
    assert len(graph.subscribed) == 2
