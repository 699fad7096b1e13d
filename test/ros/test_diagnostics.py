# SPDX-License-Identifier: Apache-2.0
"""What the node says about itself, and how often."""

import pytest
from builtin_interfaces.msg import Time

from diception_ros.ros.diagnostics import Health


class Clock:
    """Stands still until it is moved; seconds."""

    now = 100.0

    def __call__(self):
        return self.now


class Logger:
    def __init__(self):
        self.lines = []

    def warning(self, text):
        self.lines.append(('warning', text))

    def info(self, text):
        self.lines.append(('info', text))

    def error(self, text):
        self.lines.append(('error', text))


@pytest.fixture
def logger():
    return Logger()


@pytest.fixture
def clock():
    return Clock()


def status(health, **facts):
    report = health.report(Time(sec=5), 'diception', 'active', {'device': 'cpu', **facts})
    assert report.header.stamp.sec == 5 and len(report.status) == 1
    values = {value.key: value.value for value in report.status[0].values}
    return report.status[0], values


def test_the_same_complaint_is_said_once_with_a_count_of_the_others_later(logger, clock):
    health = Health(logger, clock=clock)
    for _ in range(4):
        health.warn('image', 'bad image')
    health.warn('camera', 'bad camera')
    assert logger.lines == [('warning', 'bad image'), ('warning', 'bad camera')]
    clock.now += 4.9
    health.warn('image', 'bad image')
    assert len(logger.lines) == 2
    clock.now += 0.2
    health.warn('image', 'bad image')
    assert logger.lines[-1] == ('warning', 'bad image (4 more like it)')


def test_a_complaint_is_said_again_at_once_after_something_was_changed(logger, clock):
    health = Health(logger, clock=clock)
    health.warn('image', 'bad image')
    health.say_again()
    for _ in range(2):
        health.warn('image', 'bad image')
    assert logger.lines == [('warning', 'bad image')] * 2


def test_a_healthy_node_is_ok_a_warning_makes_it_warn_and_an_error_wins(logger):
    health = Health(logger)
    found, values = status(health)
    assert found.level == b'\x00' and values['last error'] == 'none'
    health.warn('image', 'bad image')
    found, _ = status(health)
    assert (found.level, found.message) == (b'\x01', 'bad image')
    health.error('frame', 'a frame failed')
    health.warn('image', 'bad image')
    found, values = status(health)
    assert (found.level, found.message) == (b'\x02', 'a frame failed')
    assert values['last error'] == 'a frame failed'


def test_rates_are_of_the_time_since_the_last_report_and_counters_of_all_time(logger):
    health = Health(logger)
    status(health)
    for _ in range(3):
        health.count('received')
        health.frame_answered({'wait': 1.0, 'total': 40.0})
    health.frame_answered({'wait': 1.0, 'total': 90.0})
    _, values = status(health)
    assert float(values['frames in per second']) > 0
    assert values['frames received'] == '3' and values['frames answered'] == '4'
    assert values['latency total median ms'] == '40.0'
    assert values['latency total max ms'] == '90.0'
    _, values = status(health)
    assert values['frames in per second'] == '0.00' and values['frames received'] == '3'


def test_a_node_that_cannot_be_configured_stays_at_error_until_it_can(logger, clock):
    health = Health(logger, clock=clock)
    health.blocked = 'no such model'
    clock.now += 3600
    health.warn('image', 'bad image')
    found, _ = status(health)
    assert found.level == b'\x02' and found.message == 'no such model'
    health.blocked = ''
    assert status(health)[0].level == b'\x01'


def test_nothing_is_said_any_more_once_the_graph_is_left(logger):
    alive = True
    health = Health(logger, alive=lambda: alive)
    health.warn('image', 'bad image')
    alive = False
    health.error('publish', "publisher's context is invalid")
    health.warn('camera', 'bad camera')
    health.mention('a new topic')
    assert logger.lines == [('warning', 'bad image')]


def test_notes_and_facts_are_reported(logger):
    health = Health(logger)
    health.note('depth scale', '1/z = 2 D + 0.1')
    found, values = status(health, model='nano')
    assert values['depth scale'] == '1/z = 2 D + 0.1' and values['model'] == 'nano'
    assert found.hardware_id == 'cpu'
