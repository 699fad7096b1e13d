# SPDX-License-Identifier: Apache-2.0
"""A live node in a process of its own, and the graph around it, for the verbs that drive one.

`node_process` starts `diception_node` as a user would; `Graph` publishes to it and hears what it
publishes, both as raw CDR bytes, which is as fast as rclpy gets and byte for byte what was sent.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from diception_ros.errors import Failure
from diception_ros.ros.child_processes import ending_with_us
from diception_ros.ros.isolation import own_graph

NAMESPACE = '/diception'
NODE = f'{NAMESPACE}/diception'
# Published by every rclpy node; not perception.
EVERYDAY_TOPICS = ('/rosout', '/parameter_events')
QUEUE = 10  # messages that a publisher of ours holds for its listeners
UNKNOWN_NODE = '_NODE_NAME_UNKNOWN_'  # rmw's name of a node not yet known


def _executable() -> list[str]:
    """`diception_node` of this very installation."""
    places = [Path(sys.executable).parent]  # pip; and colcon:
    places += [Path(prefix) / 'lib/diception_ros'
               for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(':') if prefix]
    for place in places:
        if (place / 'diception_node').exists():
            return [str(place / 'diception_node')]
    found = shutil.which('diception_node')
    return [found] if found else [sys.executable, '-m', 'diception_ros.node']


class NodeProcess:
    """A running `diception_node`; its output is in `log`."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self._process = process
        self.log = log

    def check(self) -> None:
        """Raise Failure with the node's last words if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise Failure(f'diception_node ended with status {status}: {self.last_words()}')
        # A node that cannot load its model stays, unconfigured, for its owner to correct; so does
        # one with `autostart: false` in its file of parameters.
        if self._has_said('cannot configure', 'unconfigured: ros2 lifecycle'):
            raise Failure(f'diception_node: {self.last_words()}')

    def configured(self) -> bool:
        """Whether it has loaded its model."""
        return self._has_said(' configured: ')

    def _has_said(self, *words: str) -> bool:
        text = self.log.read_text(errors='replace')
        return any(word in text for word in words)

    def last_words(self) -> str:
        """The last line of its log that says something, and where the rest is."""
        lines = self.log.read_text(errors='replace').strip().splitlines()
        bad = [line for line in lines if re.search('ERROR|FATAL|Error', line)] or lines[-1:]
        words = re.sub(r'^(\[[^]]*\][ :]*)+', '', bad[-1].strip()) if bad else 'it said nothing'
        return f'{words} (see {self.log})'

    def stop(self) -> int:
        """SIGINT, and SIGKILL after 10 s. The exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextlib.contextmanager
def node_process(
    log: Path, parameters: dict[str, object], remaps: dict[str, str],
    params_file: Path | None = None,
) -> Iterator[NodeProcess]:
    """`diception_node` in NAMESPACE with remaps and parameters, in a graph of its own, until the
    block ends.

    `parameters` win over those of the file. A Graph that is made in the block is in that graph.
    """
    arguments = ['--ros-args', '-r', f'__ns:={NAMESPACE}']
    if params_file is not None:
        arguments += ['--params-file', str(params_file)]
    for name, value in parameters.items():
        arguments += ['-p', f'{name}:={_yaml(value)}']
    for name, topic in remaps.items():
        arguments += ['-r', f'{name}:={topic}']
    log.parent.mkdir(parents=True, exist_ok=True)
    with own_graph():
        with log.open('w') as output:
            process = subprocess.Popen(
                [*_executable(), *arguments], stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True, env=ending_with_us(),
            )
        node = NodeProcess(process, log)
        try:
            yield node
        finally:
            node.stop()


def _yaml(value: object) -> str:
    """A parameter value as `-p name:=value` wants it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return '[' + ', '.join(_yaml(item) for item in value) + ']'
    return f"'{value}'" if isinstance(value, str) else str(value)


def _full_name(name: str, namespace: str) -> str:
    return f'{namespace.rstrip("/")}/{name}'


def message_class(msgtype: str):
    """rclpy's class of a type such as 'sensor_msgs/msg/Image'."""
    package, _, name = msgtype.split('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ModuleNotFoundError, AttributeError):
        raise Failure(f'message type {msgtype} is not installed here') from None


class Graph:
    """Our end of an own_graph: publishes and hears raw messages. One thread hears.

    `heard(topic, time, data)` is called in that thread, `time` in seconds of time.monotonic().
    `partner` is the full name of the node that we started. Whoever else takes part in what is
    exchanged with it is a stranger, and ends the run with a Failure: seen when the two have met
    (`introduce`), once a second while we publish, and at the end.
    """

    def __init__(self, heard: Callable[[str, float, bytes], None], name: str,
                 partner: str = NODE) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        self._heard = heard
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context,
                   signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(name, namespace=NAMESPACE, context=self._context,
                                       start_parameter_services=False)
        self._own, self._partner = f'{NAMESPACE}/{name}', partner
        self._looked = time.monotonic()  # for strangers
        self._publishers = {}
        self._unheard: Counter[str] = Counter()  # published surely since the last delivery
        self._subscribed: dict[str, str] = {}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='hear', daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def __enter__(self):
        return self

    def __exit__(self, raised, *_) -> None:
        try:
            if raised is None:
                self.refuse_strangers()
        finally:
            self._executor.shutdown()
            self._thread.join(5)
            self._node.destroy_node()
            self._context.try_shutdown()

    # --- strangers ---

    def refuse_strangers(self) -> None:
        """Raise Failure that names a node which neither we are nor started, if it takes part.

        It takes part where it has the name of one of us, publishes what one of us hears, or hears
        what we publish: a robot would take the recording for its camera. Listening to results is
        free, and so is any listening of tools (their names begin with an underscore).
        """
        self._looked = time.monotonic()
        ours = {self._own, self._partner}
        names = [_full_name(*name) for name in self._node.get_node_names_and_namespaces()]
        for name in ours:
            if names.count(name) > 1:
                self._refuse(name, 'has the name of a node of this run')
        heard = {*self._subscribed, *self._inputs()} - set(EVERYDAY_TOPICS)
        for topic in sorted(heard | set(self._publishers)):
            for end in self._node.get_publishers_info_by_topic(topic):
                if (name := _full_name(end.node_name, end.node_namespace)) not in ours:
                    self._refuse(name, f'publishes {topic}')
        for topic in self._publishers:
            for end in self._node.get_subscriptions_info_by_topic(topic):
                name = _full_name(end.node_name, end.node_namespace)
                if name not in ours and not end.node_name.startswith('_'):
                    self._refuse(name, f'listens to {topic}, which this run plays')

    def _refuse(self, name: str, what: str) -> None:
        if name.endswith(UNKNOWN_NODE):  # its endpoints were met before it: the next look tells
            return
        raise Failure(
            f'a node that this run did not start, {name}, {what}: end it, or choose another '
            'ROS_DOMAIN_ID (unset: one that nobody uses)'
        )

    def _inputs(self) -> set[str]:
        """The topics that our partner listens to."""
        namespace, _, name = self._partner.rpartition('/')
        try:
            found = self._node.get_subscriber_names_and_types_by_node(name, namespace or '/')
        except Exception:  # rclpy's NodeNameNonExistentError moves between versions
            return set()
        return {topic for topic, _ in found}

    # --- publishing ---

    def offer(self, topic: str, msgtype: str) -> None:
        """Make ready to publish on a topic."""
        from rclpy.qos import DurabilityPolicy, QoSProfile

        profile = QoSProfile(depth=QUEUE)
        if topic == '/tf_static':
            profile = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        if topic not in self._publishers:
            kind = message_class(msgtype)
            self._publishers[topic] = self._node.create_publisher(kind, topic, profile)

    def publish(self, topic: str, data: bytes) -> None:
        """Publish CDR bytes on a topic that was offered; raises Failure where a stranger is."""
        if time.monotonic() - self._looked > 1.0:
            self.refuse_strangers()
        self._publishers[topic].publish(data)

    def publish_surely(self, topic: str, data: bytes) -> None:
        """Publish as fast as reliable listeners take it: no message pushes an older one out."""
        self.publish(topic, data)
        self._unheard[topic] += 1
        if self._unheard[topic] == QUEUE:
            self.delivered(topic, 10.0)
            self._unheard[topic] = 0

    def listeners(self, topic: str) -> int:
        """How many subscriptions our publisher of `topic` reaches."""
        return self._publishers[topic].get_subscription_count()

    def delivered(self, topic: str, seconds: float) -> bool:
        """Whether every reliable listener has got all that was published on `topic`."""
        from rclpy.duration import Duration

        return self._publishers[topic].wait_for_all_acked(Duration(seconds=seconds))

    # --- hearing ---

    def outputs(self) -> dict[str, str]:
        """Topic -> type of what the node publishes now, without every node's everyday topics."""
        try:
            found = self._node.get_publisher_names_and_types_by_node('diception', NAMESPACE)
        except Exception:  # rclpy's NodeNameNonExistentError moves between versions
            return {}
        return {
            topic: kinds[0] for topic, kinds in found
            if topic not in EVERYDAY_TOPICS and 'lifecycle_msgs' not in kinds[0]
        }

    def hear(self, topic: str, msgtype: str, depth: int = 100) -> bool:
        """Subscribe to a topic with the QoS its publisher offers; whether it is latched."""
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        offered = self._node.get_publishers_info_by_topic(topic)
        profile = QoSProfile(depth=depth)
        if offered:
            profile.reliability = offered[0].qos_profile.reliability
            profile.durability = offered[0].qos_profile.durability
        else:
            profile.reliability = ReliabilityPolicy.RELIABLE
            profile.durability = DurabilityPolicy.VOLATILE

        def receive(data: bytes) -> None:
            self._heard(topic, time.monotonic(), data)

        self._node.create_subscription(
            message_class(msgtype), topic, receive, profile, raw=True
        )
        self._subscribed[topic] = msgtype
        return profile.durability == DurabilityPolicy.TRANSIENT_LOCAL

    def hears(self, topic: str) -> bool:
        """Whether a publisher of a topic that we subscribed to is there."""
        return self._node.count_publishers(topic) > 0

    @property
    def subscribed(self) -> dict[str, str]:
        """Topic -> type of what is heard."""
        return dict(self._subscribed)

    # --- waiting ---

    def settled(self) -> None:
        """Return when the node has worked through what it got before this call.

        A request that it answers from the same thread as its subscriptions: the answer comes
        after whatever was delivered before. Raises Failure after 30 s.
        """
        from rcl_interfaces.srv import GetParameters

        if not hasattr(self, '_asker'):
            self._asker = self._node.create_client(GetParameters, f'{NODE}/get_parameters')
        if not self._asker.wait_for_service(timeout_sec=30.0):
            raise Failure('diception_node does not answer: no service get_parameters')
        answered = threading.Event()
        future = self._asker.call_async(GetParameters.Request(names=['use_sim_time']))
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(30.0):
            raise Failure('diception_node does not answer within 30 s')


def wait_until(true: Callable[[], bool], check: Callable[[], None], seconds: float) -> bool:
    """Wait for a condition, looking 20 times a second; `check` raises where waiting is in vain."""
    deadline = time.monotonic() + seconds
    while not true():
        check()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def introduce(
    graph: Graph, node: NodeProcess, image: str, offers: dict[str, str], wanted: Iterable[str]
) -> dict[str, str]:
    """Wait until the node listens to `image`, and listen to all that it publishes: topic -> type.

    `offers`: topic -> type of what we will publish; `wanted`: outputs (full names) that must be
    there, or Failure.
    """
    for topic, msgtype in offers.items():
        graph.offer(topic, msgtype)
    configured = False  # until then it takes as long as the model is large
    while not wait_until(lambda: graph.listeners(image) > 0, node.check, 60):
        if configured:
            raise Failure(f'diception_node does not listen to {image}: {node.last_words()}')
        configured = node.configured()
    missing = set(wanted)
    wait_until(lambda: not missing - set(graph.outputs()), node.check, 20)
    if missing := sorted(missing - set(graph.outputs())):
        raise Failure(f'diception_node does not offer {", ".join(missing)} (see {node.log})')
    graph.refuse_strangers()
    return graph.outputs()


def queues(topics: Iterable[str], direction: str, **policies: object) -> dict[str, object]:
    """Parameters that override the QoS of topics: `queues([...], 'publisher', depth=100)`.

    By default the node offers the newest result only, which is right for a robot and loses what a
    recorder did not take in time.
    """
    return {f'qos_overrides.{topic}.{direction}.{policy}': value
            for topic in topics for policy, value in policies.items()}
