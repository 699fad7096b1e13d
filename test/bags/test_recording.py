# SPDX-License-Identifier: Apache-2.0
"""What is heard is written on the time line of what was played; the node's counters are read."""

import numpy as np
import pytest

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.recording import Recorder, busy, frame_counts
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
