# SPDX-License-Identifier: Apache-2.0
"""The node's outputs: which tasks they need, and results -> messages.

An output (`TaskOutput`, one or more a task of the registry, and `Overlay`) has
    name                      of what it publishes, for messages about it
    tasks(settings) -> set    the tasks it needs now, for what somebody listens to
    publish(answer)           publishes what it can of an Answer (ros/answer.py)
and, if it likes,
    prepare(settings)         makes the publishers that depend on the settings
    begin(answer)             does what it can before people are read, who come last
Messages that are no Images are made in a file each beside this one, named by `Topic.message`.
"""

from concurrent.futures import ThreadPoolExecutor

from diception_ros.ros.outputs.overlay import Overlay
from diception_ros.ros.outputs.task_output import TaskOutput, message_class, outputs_of
from diception_ros.ros.outputs.topic import Topic
from diception_ros.tasks.registry import TASKS, in_reading_order

__all__ = ['Outputs', 'Overlay', 'Publication', 'TaskOutput']

LAST = in_reading_order(task.kind for task in TASKS)[-1]  # the task that is read last
METRIC = tuple(topic.name for task in TASKS for topic in task.topics if topic.metric)


class Outputs:
    """All outputs of a node."""

    def __init__(self, node):
        self._node = node
        self._topics = {}
        # In the order of the registry: poses take the metres that depth has worked out.
        self._outputs = [output for task in TASKS for output in outputs_of(task, self._advertise)]
        self._outputs.append(Overlay(self._advertise))
        self.thread = ThreadPoolExecutor(1, 'diception_publisher')

    def _advertise(self, topic, member=''):
        name = topic.of(member)
        publisher = Topic(self._node, message_class(topic.type), name, topic.latched)
        self._topics[name] = publisher
        return publisher

    def prepare(self, settings):
        """Make the publishers that depend on the settings; on the executor's thread."""
        for output in self._outputs:
            if hasattr(output, 'prepare'):
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
            self._node.health.count('failed')
            self._node.health.error(f'publish {output.name}',
                                    f'cannot publish the output {output.name}: '
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
