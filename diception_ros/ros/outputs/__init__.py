# SPDX-License-Identifier: Apache-2.0
"""The node's outputs, one file per kind of result: which task it needs, and result -> messages.

An output is a class with
    __init__(advertise)       makes its publishers: advertise(message type, topic, latched=False)
    tasks(settings) -> set    the tasks it needs now, for what somebody listens to
    publish(answer)           publishes what it can of an Answer (ros/perception.py)
To add one: write its file, and name it below.
"""

from diception_ros.ros.outputs.adapters import Adapters
from diception_ros.ros.outputs.depth import Depth
from diception_ros.ros.outputs.entities import Entities
from diception_ros.ros.outputs.normals import Normals
from diception_ros.ros.outputs.overlay import Overlay
from diception_ros.ros.outputs.points import Points
from diception_ros.ros.outputs.pose import Pose
from diception_ros.ros.outputs.restoration import Restoration
from diception_ros.ros.outputs.segmentation import Segmentation
from diception_ros.ros.outputs.semantic import Semantic
from diception_ros.ros.outputs.topic import Topic

# Depth and the cloud come first: the poses take the metres that these have worked out.
KINDS = (Depth, Points, Normals, Entities, Segmentation, Semantic, Pose, Restoration, Adapters,
         Overlay)
METRIC = ('depth/image_raw', 'depth/camera_info', 'points')


class Outputs:
    """All outputs of a node."""

    def __init__(self, node):
        self._node = node
        self._topics = {}
        self._outputs = [kind(self._advertise) for kind in KINDS]

    def _advertise(self, message_type, name, latched=False):
        topic = Topic(self._node, message_type, name, latched)
        self._topics[name] = topic
        return topic

    def prepare(self, settings):
        """Make the publishers that depend on the settings; on the executor's thread."""
        for output in self._outputs:
            if isinstance(output, Adapters):
                output.prepare(settings)

    def wanted(self):
        """Whether anybody wants anything."""
        return any(topic.wanted for topic in self._topics.values())

    def tasks(self, settings):
        """Return the set of tasks that somebody's outputs need, also those that are off."""
        return set().union(*(output.tasks(settings) for output in self._outputs))

    def mention_what_is_off(self, wanted, settings):
        """Tell listeners who wait in vain, because a task is off, once; recorders listen to all."""
        if not settings['lazy']:
            return
        if settings['depth.scale'] == 'none' and any(self._topics[name].wanted for name in METRIC):
            self._node.health.mention(f'somebody listens to {", ".join(METRIC)}, which come only '
                                      'with metres: set the parameter depth.scale')
        missing = ', '.join(sorted(wanted - set(settings['tasks'])))
        if missing:
            self._node.health.mention(f'somebody listens to the results of {missing}, which the '
                                      "parameter 'tasks' does not have: ros2 param set it")

    def publish(self, answer):
        """Publish all of an Answer; an output that fails is reported, the others go on."""
        for output in self._outputs:
            try:
                output.publish(answer)
            except Exception as error:
                name = type(output).__name__.lower()
                self._node.health.count('failed')
                self._node.health.error(f'publish {name}', f'cannot publish the output {name}: '
                                        f'{type(error).__name__}: {error}')
