# SPDX-License-Identifier: Apache-2.0
"""What is sent when of one frame's results."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
from std_msgs.msg import Header

from diception_ros.lab.synthetic import random_view
from diception_ros.model import Perception
from diception_ros.ros.answer import Answer
from diception_ros.ros.outputs import Publication
from diception_ros.ros.outputs.overlay import Overlay


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
    answer = Answer(Header(), view.rgb, perception, {
        'tasks': ('depth', 'segmentation', 'semantic:person', 'pose'), 'overlay.opacity': 0.5,
        'palette': 'viridis'}, [(30, 40)], None, None, None, None)
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
