# SPDX-License-Identifier: Apache-2.0
"""What is heard is written on the time line of what was played; the node's counters are read."""

import numpy as np
import pytest

from diception_ros.bags import recording
from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.recording import (
    EARLY,
    NodeReports,
    Recorder,
    busy,
    frame_counts,
    play,
    send_ahead,
)
from diception_ros.errors import Failure
from diception_ros.lab.benchmarks.node import _stages


def diagnostics(**values):
    pairs = [bags.make('diagnostic_msgs/msg/KeyValue', key=key.replace('_', ' '), value=str(value))
             for key, value in values.items()]
    status = bags.make('diagnostic_msgs/msg/DiagnosticStatus', level=0, name='node', message='',
                       hardware_id='', values=pairs)
    return bags.encode(bags.make('diagnostic_msgs/msg/DiagnosticArray',
                                 header=bags.header(5, ''), status=[status]))


def image(stamp):
    return bags.encode(bags.image(bags.header(stamp, 'c'), np.zeros((2, 2), np.uint8), 'mono8'))


def test_a_node_is_busy_until_every_frame_has_had_its_end():
    counts = frame_counts(diagnostics(frames_received=7, frames_answered=3, frames_dropped=2,
                                      frames_unusable=1, state='active'))
    assert counts == {'received': 7, 'answered': 3, 'dropped': 2, 'unusable': 1}
    assert busy(counts) and not busy({**counts, 'failed': 1}) and not busy({})


def test_latencies_by_stage_are_read_from_diagnostics():
    data = diagnostics(latency_infer_median_ms=12.5, latency_infer_max_ms=20.0, state='active')
    assert _stages(data) == {'infer': 12.5}


def test_messages_are_recorded_from_the_beginning_on_and_latched_ones_before(tmp_path):
    with Recorder(tmp_path / 'bag') as recorder:
        recorder.expect('/mask', 'sensor_msgs/msg/Image')
        recorder.expect('/info', 'diception_ros/msg/LabelInfo', latched=True)
        recorder.heard('/mask', 9.0, image(1))
        info = bags.make('diception_ros/msg/LabelInfo', header=bags.header(1, 'c'),
                         class_ids=np.array([1], np.uint16), names=['person'])
        recorder.heard('/info', 9.5, bags.encode(info))
        assert recorder.early == {'/mask', '/info'}
        recorder.begin(10.0, 5 * 10**9)
        recorder.heard('/mask', 10.5, image(2))
    arrivals = [(arrival.topic, arrival.stamp) for arrival in recorder.arrivals]
    assert arrivals == [('/info', 1), ('/mask', 2)]
    with bags.BagReader(tmp_path / 'bag') as bag:
        assert [(topic, time) for topic, time, _ in bag.messages()] == [
            ('/info', 5 * 10**9), ('/mask', 55 * 10**8)]


def test_a_recorder_that_cannot_write_says_so_at_its_end(tmp_path):
    (tmp_path / 'bag').write_text('in the way')
    with pytest.raises(bags.BagError, match='exists already'), Recorder(tmp_path / 'bag'):
        pass


class Node:
    """A node that answers the n-th frame it is sent, and says each second that it is at work."""

    def __init__(self, reports, seconds_of_work, loses=0, dies=False):
        self.reports, self.work, self.loses, self.dies = reports, seconds_of_work, loses, dies
        self.sent = self.now = self.received = 0
        self.answered = False

    def publish(self, topic, data):
        self.sent += 1
        if self.sent > self.loses:
            self.received += 1
            self.begun = self.now

    def check(self):
        if self.dies and self.now > 2:
            raise Failure('diception_node ended')

    def last_words(self):
        return 'nothing'

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        """A second goes by."""
        self.now += 1
        self.answered = self.received > 0 and self.now - self.begun >= self.work
        self.reports.hear(self.now, diagnostics(
            frames_received=self.received, frames_answered=self.received * self.answered))


@pytest.fixture
def meet(monkeypatch):
    def meet(*arguments, **options):
        node = Node(NodeReports(), *arguments, **options)
        monkeypatch.setattr(recording, 'time', node)
        node.reports._last = -1000  # the node took long to load
        send_ahead(node, node, node.reports, '/image', image(1), lambda: node.answered)
        return node
    return meet


def test_a_frame_that_takes_an_hour_is_sent_once_and_waited_for(meet):
    node = meet(3600)
    assert node.sent == 1 and node.now == 3600


def test_a_frame_that_is_lost_is_sent_again_when_the_node_has_nothing_to_do(meet):
    assert meet(1, loses=2).sent == 3


def test_a_node_that_gets_nothing_or_ends_or_falls_silent_is_told(meet, monkeypatch):
    with pytest.raises(Failure, match='does not get /image'):
        meet(1, loses=100)
    with pytest.raises(Failure, match='ended'):
        meet(3600, dies=True)
    monkeypatch.setattr(NodeReports, 'hear', lambda self, moment, data: None)
    with pytest.raises(Failure, match='has said nothing for 60 s'):
        meet(3600)


class Player:
    """A graph that notes what is published, in place of a real one."""

    def __init__(self):
        self.published = []

    def publish(self, topic, data):
        self.published.append((topic, data))

    publish_surely = publish


def test_a_recording_is_played_from_its_first_picture_on_with_what_belongs_to_it(tmp_path):
    """camera_info and transforms begin 25 s before the pictures. 1. Nothing waits for them. 2. What
    is latched, the last of every topic and all of the last seconds go out first."""
    second = 10**9
    with bags.BagWriter(tmp_path / 'bag') as bag:
        for topic, at in [('/tf_static', 0), ('/tf_static', 1), ('/info', 2), ('/info', 3),
                          ('/tf', 4), ('/tf', 25 - EARLY), ('/tf', 24.9), ('/image', 25),
                          ('/tf', 25.1), ('/image', 25.2), ('/image', 26)]:
            bag.write(topic, round(at * second), image(round(at * 10)), 'sensor_msgs/msg/Image')
    player, told = Player(), []
    with bags.BagReader(tmp_path / 'bag') as bag:
        play(bag, ['/tf', '/tf_static', '/info', '/image'], player, 0.5,
             lambda topic, *_: told.append(topic))
    stamps = [(topic, bags.stamp_of(data)) for topic, data in player.published]
    assert stamps == [('/tf', round(10 * (25 - EARLY))), ('/tf', 249), ('/tf_static', 0),
                      ('/tf_static', 10), ('/info', 30), ('/image', 250), ('/tf', 251),
                      ('/image', 252)]
    assert told == [topic for topic, _ in stamps]
