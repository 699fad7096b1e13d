# SPDX-License-Identifier: Apache-2.0
"""The topics of one task, as the registry describes them: which tasks they need, and their
messages."""

import copy
import importlib

from std_msgs.msg import Header

from diception_ros.ros.images import from_array
from diception_ros.tasks.task import IMAGE


class TaskOutput:
    """Publishes those topics of a task that are one group.

    Every member of a family with a topic of its own ('adapters/<name>') gets it when the settings
    first name it.
    """

    def __init__(self, task, topics, advertise):
        self.task = task
        self.name = topics[0].group or task.kind
        self._advertise = advertise
        self._topics = topics
        self._publishers = []  # (topic, member or '', its LazyPublisher)
        self._latest = {}  # topic name -> the latched message that was published last
        for topic in topics:
            if not topic.per_member:
                self._publishers.append((topic, '', advertise(topic)))

    def prepare(self, settings):
        """Advertise the topics of members that the settings name."""
        there = {(topic, member) for topic, member, _ in self._publishers}
        for topic in self._topics:
            for member in map(member_of, self._named(settings)) if topic.per_member else ():
                if (topic, member) not in there:
                    self._publishers.append((topic, member, self._advertise(topic, member)))

    def tasks(self, settings):
        """Return the tasks that are needed now, for what somebody listens to."""
        needed = set()
        for topic, member, publisher in self._publishers:
            if publisher.wanted and not topic.latched:
                needed |= self._needs(topic, member, settings)
        return needed

    def _named(self, settings, kind=None):
        """The tasks of the settings that are of this task's kind, or of another."""
        kind = kind or self.task.kind
        return {name for name in settings['tasks'] if name.partition(':')[0] == kind}

    def _needs(self, topic, member, settings):
        if topic.per_member:
            return {f'{self.task.kind}:{member}'} & set(settings['tasks'])
        if topic.metric:
            needed = metric_tasks(settings)
            if not needed:
                return needed
        elif self.task.family:
            needed = self._named(settings) or {f'{self.task.kind}:<{self.task.family}>'}
        else:
            needed = {self.task.kind}
        return needed.union(*(self._named(settings, kind) for kind in topic.uses))

    def publish(self, answer):
        """Publish what it can of an Answer."""
        result = self.task.result_in(answer)
        for topic, member, publisher in self._publishers:
            if topic.latched:
                self._publish_changed(topic, publisher, message_of(topic, result, answer))
            elif publisher.wanted:
                one = result and result.get(member) if topic.per_member else result
                message = None if one is None else message_of(topic, one, answer)
                if message is not None:
                    publisher.publish(message)

    def _publish_changed(self, topic, publisher, message):
        """Publish a latched message where anything but its header has changed."""
        if message is None:
            return
        content = copy.copy(message)
        content.header = Header()
        if content != self._latest.get(topic.name):
            publisher.publish(message)
            self._latest[topic.name] = content


def outputs_of(task, advertise):
    """Return the TaskOutputs of a task, one a group of topics."""
    groups = {}
    for topic in task.topics:
        groups.setdefault(topic.group, []).append(topic)
    return [TaskOutput(task, topics, advertise) for topics in groups.values()]


def member_of(name):
    """Return what comes after the colon in a task's name."""
    return name.partition(':')[2]


def metric_tasks(settings):
    """Return the tasks that metres need; the sky, where it is asked for, has none."""
    if settings['depth.scale'] == 'none':
        return set()
    sky = {'semantic:sky'} & set(settings['tasks'])
    return sky | ({'depth', 'normals'} if settings['depth.scale'] == 'ground_plane' else {'depth'})


def message_of(topic, result, answer):
    """Make the message of a topic, or None where there is nothing to publish."""
    if topic.type == IMAGE:
        array = topic.image(result, answer)
        return None if array is None else from_array(array, topic.encoding, answer.header)
    module, _, function = topic.message.partition('.')
    return getattr(importlib.import_module(f'{__package__}.{module}'), function)(result, answer)


def message_class(name):
    """Return the class of a message type such as 'sensor_msgs/msg/Image'."""
    module, _, kind = name.rpartition('/')
    return getattr(importlib.import_module(module.replace('/', '.')), kind)
