# SPDX-License-Identifier: Apache-2.0
"""A graph of its own: a domain that nobody else uses, heard on this machine alone."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from diception_ros.bags.live import Graph, message_class
from diception_ros.errors import Failure
from diception_ros.ros.child_processes import ending_with_us
from diception_ros.ros.isolation import DomainTaken, claim_domain, discovery_port, own_graph

STRANGER = """
import sys, time, rclpy
from diception_ros.bags.live import message_class
rclpy.init()
node = rclpy.create_node(sys.argv[1], namespace=sys.argv[2])
kind = message_class('sensor_msgs/msg/Image')
if sys.argv[3] == 'hears':
    node.create_subscription(kind, sys.argv[4], print, 1)
else:
    publisher = node.create_publisher(kind, sys.argv[4], 1)
print('here', flush=True)
rclpy.spin(node)
"""


@pytest.fixture
def stranger():
    """A function that starts a node in the graph of this process; it is ended afterwards."""
    started = []

    def start(name, does, topic, namespace='/'):
        started.append(subprocess.Popen(
            [sys.executable, '-c', STRANGER, name, namespace, does, topic],
            stdout=subprocess.PIPE, text=True, env=ending_with_us()))
        assert started[-1].stdout.readline() == 'here\n'

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def graph():
    """Our end of a graph of its own, which plays /camera/image_raw to a node /bare."""
    with own_graph():
        one = Graph(lambda *_: None, 'replay', partner='/bare')
        one.offer('/camera/image_raw', 'sensor_msgs/msg/Image')
        yield one
        one.__exit__(Failure)  # whether strangers are there at the end is not asked


def refusal(graph, seconds=20):
    """What `graph.publish` says of a stranger within some seconds, or ''."""
    from rclpy.serialization import serialize_message

    image = serialize_message(message_class('sensor_msgs/msg/Image')())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            graph.publish('/camera/image_raw', image)
        except Failure as failure:
            return str(failure)
        time.sleep(0.1)
    return ''


def test_two_runs_never_get_the_same_domain():
    claims = [claim_domain() for _ in range(4)]
    other = subprocess.run(
        [sys.executable, '-c',
         'from diception_ros.ros.isolation import claim_domain; print(claim_domain()[0])'],
        capture_output=True, text=True, check=True)
    domains = [domain for domain, _ in claims] + [int(other.stdout)]
    for _, claim in claims:
        claim.close()
    assert len(set(domains)) == 5


def test_a_domain_is_not_taken_where_a_node_listens_that_claimed_nothing():
    domain, claim = claim_domain()
    claim.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        node.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as middlewares do
        node.bind(('', discovery_port(domain)))
        other, claim = claim_domain()
    claim.close()
    assert other != domain


def test_the_middleware_listens_where_the_probe_looks(graph):
    """1. A node of this very middleware is in our domain. 2. Its port is taken."""
    domain = int(os.environ['ROS_DOMAIN_ID'])
    with pytest.raises(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(('', discovery_port(domain)))


def test_the_claim_of_a_killed_run_is_free_again():
    run = subprocess.Popen(
        [sys.executable, '-c', 'from diception_ros.ros.isolation import claim_domain\n'
         'import time\ndomain, claim = claim_domain()\nprint(domain, flush=True)\ntime.sleep(99)'],
        stdout=subprocess.PIPE, text=True)
    domain = int(run.stdout.readline())
    with pytest.raises(DomainTaken, match=f'ROS_DOMAIN_ID={domain}: another run'):
        claim_domain(domain)
    run.kill()
    run.wait()
    claim_domain(domain)[1].close()


def test_a_domain_that_the_user_chose_is_used_and_the_environment_comes_back(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', '113')
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    before = dict(os.environ)
    with own_graph() as domain:
        assert domain == 113 and os.environ['ROS_DOMAIN_ID'] == '113'
        assert 'ROS_AUTOMATIC_DISCOVERY_RANGE' not in os.environ
        with pytest.raises(DomainTaken, match='unset ROS_DOMAIN_ID'), own_graph():
            pass
    assert dict(os.environ) == before
    monkeypatch.delenv('ROS_DOMAIN_ID')
    with own_graph() as domain:
        assert domain != 113
    assert 'ROS_DOMAIN_ID' not in os.environ


@pytest.mark.parametrize('domain', ['robot', '-1', '233', '4.0'])
def test_a_domain_that_is_none_is_refused_in_one_line(monkeypatch, domain):
    monkeypatch.setenv('ROS_DOMAIN_ID', domain)
    with pytest.raises(DomainTaken, match=f'ROS_DOMAIN_ID={domain}: a whole number'), own_graph():
        pass


def test_profiles_of_the_user_and_other_middlewares_are_respected(monkeypatch):
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/my/profiles.xml')
    with own_graph():
        assert os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] == '/my/profiles.xml'
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    with own_graph():
        assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'


def test_a_node_of_its_own_graph_can_be_reached_from_this_machine_alone(graph):
    """Of all sockets of this process, none waits on an address that others can send to."""
    own = {os.readlink(link) for link in Path('/proc/self/fd').iterdir() if link.is_symlink()}
    heard = set()
    for table, waits in (('tcp', '0A'), ('tcp6', '0A'), ('udp', '07'), ('udp6', '07')):
        for line in Path('/proc/net', table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if f'socket:[{inode}]' in own and state == waits:
                heard.add(local.partition(':')[0])
    loopback, discovery = '0100007F', '0100FFEF'  # 127.0.0.1; 239.255.0.1, joined on 127.0.0.1
    assert loopback in heard and heard <= {loopback, discovery}


def test_who_publishes_what_is_played_ends_the_run_in_one_line(graph, stranger):
    assert refusal(graph, 2) == ''
    threading.Timer(1, stranger, ['webcam', 'publishes', '/camera/image_raw', '/robot']).start()
    line = refusal(graph)
    assert '/robot/webcam, publishes /camera/image_raw' in line
    assert 'ROS_DOMAIN_ID' in line and '\n' not in line


def test_a_robot_that_would_take_the_recording_for_its_camera_ends_the_run(graph, stranger):
    stranger('brakes', 'hears', '/camera/image_raw')
    assert '/brakes, listens to /camera/image_raw' in refusal(graph)


def test_who_publishes_what_the_node_answers_ends_the_run(graph, stranger):
    graph.hear('/diception/overlay', 'sensor_msgs/msg/Image')
    stranger('other', 'publishes', '/diception/overlay')
    assert '/other, publishes /diception/overlay' in refusal(graph)


def test_what_the_node_listens_to_and_nobody_plays_is_not_a_strangers_either(graph, stranger):
    stranger('bare', 'hears', '/tf')
    stranger('localization', 'publishes', '/tf')
    assert '/localization, publishes /tf' in refusal(graph)


def test_a_second_node_of_the_same_name_ends_the_run(graph, stranger):
    stranger('bare', 'hears', '/camera/image_raw')
    assert refusal(graph, 3) == ''
    stranger('bare', 'hears', '/camera/image_raw')
    assert '/bare, has the name of a node of this run' in refusal(graph)


def test_tools_may_listen_and_anybody_to_the_results(graph, stranger):
    graph.hear('/diception/overlay', 'sensor_msgs/msg/Image')
    stranger('_ros2cli_17', 'hears', '/camera/image_raw')
    stranger('rviz', 'hears', '/diception/overlay')
    assert refusal(graph, 4) == ''
