# SPDX-License-Identifier: Apache-2.0
"""The node's outputs, one file per kind of result: which task it needs, and result -> messages.

An output is a class with
    __init__(advertise)       makes its publishers: advertise(message type, topic, latched=False)
    tasks(settings) -> set    the tasks it needs now, for what somebody listens to
    publish(answer)           publishes what it can of an Answer (ros/answer.py)
and, if it likes,
    begin(answer)             does what it can before people are read, who come last
To add one: write its file, and name it below.
"""

from concurrent.futures import ThreadPoolExecutor

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
LAST = 'pose'  # the task that is read last
METRIC = ('depth/image_raw', 'depth/camera_info', 'points')


class Outputs:
    """All outputs of a node."""

    def __init__(self, node):
        self._node = node
        self._topics = {}
        self._outputs = [kind(self._advertise) for kind in KINDS]
        self.thread = ThreadPoolExecutor(1, 'diception_publisher')

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

    def listeners(self):
        """Return how many listen to each output, {topic: number}."""
        return {name: topic.listeners for name, topic in self._topics.items()}

    def needs(self, settings):
        """Return {output: the tasks that it needs now}, also those that are off."""
        return {output: output.tasks(settings) for output in self._outputs}

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

    def publish(self, output, answer):
        """Publish one of the outputs of an Answer; if it fails, it is reported."""
        self._attempt(output, output.publish, answer)

    def begin(self, answer):
        """Let the outputs do what they can before people are read."""
        for output in self._outputs:
            if hasattr(output, 'begin'):
                self._attempt(output, output.begin, answer)

    def _attempt(self, output, function, answer):
        try:
            function(answer)
        except Exception as error:
            name = type(output).__name__.lower()
            self._node.health.count('failed')
            self._node.health.error(f'publish {name}', f'cannot publish the output {name}: '
                                    f'{type(error).__name__}: {error}')

    def publication(self, needs, tasks):
        """Return the Publication of a frame that `tasks` are run for; needs: as `needs` gave it."""
        return Publication(self, needs, set(tasks))


class Publication:
    """The messages of one frame: what one task has found is sent, on a thread of its own, while the
    results of the next are read; what the last one has found, by `finish`.

    An output goes out as soon as the tasks that it needs are done; one that needs none, when all
    are. `answer`: the frame's Answer, to be set before the first `go_on`.
    """

    def __init__(self, outputs, needs, tasks):
        self.answer = None
        self._outputs = outputs
        self._tasks, self._done = tasks, set()
        self._waiting = [(output, (needed or tasks) & tasks) for output, needed in needs.items()]
        self._sent, self._last = [], []

    def go_on(self, name):
        """Send what waited for the task `name`, which is done, and for no other."""
        self._done.add(name)
        ready = [output for output, needed in self._waiting if needed <= self._done]
        self._waiting = [(output, needed) for output, needed in self._waiting
                         if not needed <= self._done]
        if self._tasks <= self._done:
            self._last = ready
            return
        self._sent += [self._outputs.thread.submit(self._outputs.publish, output, self.answer)
                       for output in ready]
        if self._tasks - self._done == {LAST}:
            self._sent.append(self._outputs.thread.submit(self._outputs.begin, self.answer))

    def finish(self):
        """Wait until what was to be sent has been, and send the rest on this thread."""
        for future in self._sent:
            future.result()
        for output in self._last:
            self._outputs.publish(output, self.answer)
