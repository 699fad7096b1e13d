# SPDX-License-Identifier: Apache-2.0
"""What is sent when of one frame's results."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
from std_msgs.msg import Header

from diception_ros.cli import run
from diception_ros.lab.synthetic import random_view
from diception_ros.model import Perception
from diception_ros.ros.answer import Answer
from diception_ros.ros.outputs import Publication
from diception_ros.ros.outputs.overlay import Overlay
from diception_ros.ros.outputs.task_output import outputs_of
from diception_ros.tasks.adapter import Adapter
from diception_ros.tasks.frame import FOR_EYES, FrameResults
from diception_ros.tasks.semantic import Semantic


def publication(tasks, **needs):
    """A Publication of outputs by name that need these tasks, and the list of what it has sent."""
    sent = []
    room = SimpleNamespace(thread=ThreadPoolExecutor(1),
                           publish=lambda output, answer: sent.append((output, answer)),
                           begin=lambda answer: None)
    made = Publication(room, {name: set(needed) for name, needed in needs.items()}, set(tasks))
    made.answer = 'answer'
    return made, sent


def test_an_output_goes_out_once_and_as_soon_as_its_tasks_are_done():
    frame, sent = publication(
        ('depth', 'entities', 'semantic:person'), depth=('depth',),
        entities=('entities', 'semantic:person'),
        overlay=('depth', 'entities', 'semantic:person'))
    frame.go_on('depth')
    settle(frame)
    assert sent == [('depth', 'answer')]
    frame.go_on('semantic:person')
    settle(frame)
    assert sent == [('depth', 'answer')]
    frame.go_on('entities')
    frame.finish()
    assert sent == [(name, 'answer') for name in ('depth', 'entities', 'overlay')]


def settle(frame):
    """Return when what was handed to the publishing thread has been sent."""
    frame._outputs.thread.submit(lambda: None).result()


def test_the_overlay_that_was_begun_before_people_were_read_is_the_same():
    view = random_view(7, (320, 240))
    perception = Perception(
        depth=np.linspace(0, 1, 240 * 320, dtype=np.float32).reshape(240, 320),
        segmentation=(view.instances == view.people[0].label).astype(np.float32),
        semantic={'person': view.instances == view.people[0].label},
        pictures={'semantic:person': np.ones((240, 320, 3), np.float32)})
    answer = Answer(view.rgb, perception, {
        'tasks': ('depth', 'segmentation', 'semantic:person', 'pose'), 'overlay.opacity': 0.5,
        'palette': 'viridis'}, [(30, 40)], Header(), None, None, None, None)
    sent = []
    overlay = Overlay(lambda *_: SimpleNamespace(wanted=True, publish=sent.append))
    overlay.begin(answer)
    perception.poses = [SimpleNamespace(keypoints=view.people[0].keypoints)]
    overlay.publish(answer)
    overlay.publish(answer)  # without a beginning
    assert sent[0].data == sent[1].data
    assert overlay.begun is None


def test_what_needs_no_task_or_one_that_is_off_does_not_stay_behind():
    frame, sent = publication(('depth', 'pose'), announcement=(),
                              off=('segmentation',), poses=('pose',))
    frame.go_on('depth')
    settle(frame)
    assert [name for name, _ in sent] == ['off']
    frame.go_on('pose')
    frame.finish()
    assert [name for name, _ in sent] == ['off', 'announcement', 'poses']


def test_a_frame_that_needs_no_task_at_all_is_sent():
    frame, sent = publication((), mask=('segmentation',), announcement=())
    frame.go_on(None)
    frame.finish()
    assert [name for name, _ in sent] == ['mask', 'announcement']


def test_nobody_waits_for_a_message_before_the_end():
    frame, sent = publication(('depth', 'pose'), depth=('depth',), poses=('pose',))
    gate = threading.Event()
    frame._outputs.thread.submit(gate.wait)  # a slow message is under way
    frame.go_on('depth')
    frame.go_on('pose')
    assert sent == []
    gate.set()
    frame.finish()
    assert [name for name, _ in sent] == ['depth', 'poses']


def test_a_frame_that_fails_in_between_sends_only_what_was_found():
    frame, sent = publication(('depth', 'pose'), depth=('depth',), poses=('pose',))
    frame.go_on('depth')
    frame.finish()
    assert [name for name, _ in sent] == ['depth']


def published_by(task, answers):
    """[(topic, message)] of a task that publishes these answers while everybody listens."""
    sent = []

    def advertise(topic, member=''):
        name = topic.of(member)
        return SimpleNamespace(wanted=True, publish=lambda message: sent.append((name, message)))

    for output in outputs_of(task, advertise):
        for answer in answers:
            output.prepare(answer.settings)
            output.publish(answer)
    return sent


def overlapping(*tasks):
    """The results of two categories that overlap: where both are, the floor is brighter on the
    left, the person on the right."""
    person, floor = np.zeros((2, 120, 200), np.float32)
    person[:80], floor[40:] = 0.8, 0.6
    floor[40:, :100] = 0.9
    pictures = {name: np.dstack([one] * 3) for name, one in (
        ('semantic:person', person), ('semantic:floor', floor))}
    perception = Perception(pictures=pictures)
    for name in tasks:
        perception.add(name, pictures[name][..., 0] > 0.5)
    return np.zeros((120, 200, 3), np.uint8), perception, {'tasks': tasks, **FOR_EYES}, []


def test_run_and_the_node_give_overlapping_categories_the_same_labels():
    found = overlapping('semantic:person', 'semantic:floor')
    node = dict(published_by(Semantic, [Answer(*found, Header(), None, None, None, None)]))
    labels = np.asarray(node['semantic/labels'].data).reshape(120, 200)
    assert labels[60, 50] == 2 and labels[60, 150] == 1  # where both are
    assert labels[20, 50] == 1 and labels[100, 50] == 2
    files = run._pictures(FrameResults(*found))
    color = np.asarray(node['semantic/color'].data).reshape(120, 200, 3)
    np.testing.assert_array_equal(files['semantic.png'], color)


def test_what_is_latched_is_published_again_only_when_it_changes():
    answers = [Answer(*overlapping(*tasks), Header(frame_id=str(number)), None, None, None, None)
               for number, tasks in enumerate((
                   ('semantic:person',), ('semantic:person',),
                   ('semantic:floor', 'semantic:person')))]
    infos = [message for topic, message in published_by(Semantic, answers)
             if topic == 'semantic/label_info']
    assert [list(info.names) for info in infos] == [['person'], ['floor', 'person']]
    assert [info.header.frame_id for info in infos] == ['0', '2']


def test_every_adapter_has_a_topic_of_its_own():
    perception = Perception(adapters={'lung': np.full((4, 4, 3), 9, np.uint8)})
    answer = Answer(np.zeros((4, 4, 3), np.uint8), perception,
                    {'tasks': ('adapter:lung', 'adapter:dust')}, [], Header(), None, None, None,
                    None)
    ((topic, message),) = published_by(Adapter, [answer])
    assert topic == 'adapters/lung' and set(message.data) == {9}
