# SPDX-License-Identifier: Apache-2.0
"""Bad input to a live node: one clear line, the node lives, the next good frame is answered."""

import math

import numpy as np
import pytest
from geometry_msgs.msg import Point
from robot import NodeProcess, claim_domain
from sensor_msgs.msg import CameraInfo, Image

from diception_ros.ros.images import from_array


def good_image(robot, width=64, height=48):
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return from_array(rgb, 'rgb8', robot.header())


@pytest.mark.parametrize('broken, words', [
    ({'data': b'too short'}, 'too little data: 9 bytes'),
    ({'width': 0, 'height': 0}, 'no pixels'),
    ({'encoding': 'rgb565'}, "encoding 'rgb565' is unknown: use one of"),
    ({'step': 7}, 'step is wrong: 7 bytes a row'),
    ({'width': 4294967295, 'height': 4294967295, 'step': 4294967295}, 'too large'),
])
def test_a_broken_image_gives_one_line_and_the_next_frame_is_answered(robot, broken, words):
    """1. Send it five times. 2. One line. 3. A good frame."""
    robot.listen('depth/relative')
    start = len(robot.node.text())
    unusable = int(robot.report()[2]['frames unusable'])
    for _ in range(5):
        message = good_image(robot)
        for name, value in broken.items():
            setattr(message, name, value)
        robot.send(message)
        robot.spin(0.05)
    line = robot.node.wait_for_line(words, after=start)
    assert '/image: image ignored: ' in line and 'WARN' in line
    robot.ask(good_image(robot))
    assert robot.node.text()[start:].count('image ignored') == 1
    level, _, values = robot.report()
    assert level == b'\x01'
    assert int(values['frames unusable']) > unusable


@pytest.mark.parametrize('x, y, words', [
    (math.nan, 3.0, 'is not a pixel'), (math.inf, 3.0, 'is not a pixel'),
    (-5.0, 3.0, 'outside of the 64x48 picture'), (63.6, 3.0, 'outside of the 64x48 picture'),
    (1e300, 1e300, 'outside of the 64x48 picture')])
def test_a_click_that_is_no_pixel_of_the_picture_is_ignored(robot, x, y, words):
    robot.listen('segmentation/mask')
    start = len(robot.node.text())
    robot.tell(Point(x=x, y=y))
    mask = robot.ask(good_image(robot))['segmentation/mask']
    assert not any(mask.data)
    robot.node.wait_for_line(words, after=start)
    assert robot.trigger('undo_point') == (False, '0 points left')


def test_a_camera_info_that_cannot_be_says_so_and_depth_goes_on(robot):
    robot.listen('depth/relative', 'points')
    assert robot.set(depth__scale='near_far') == ''
    robot.tell(CameraInfo(width=64, height=48))
    start = len(robot.node.text())
    robot.ask(good_image(robot), 'depth/relative')
    robot.node.wait_for_line('the focal length is not positive', after=start)


def test_a_reference_depth_that_is_a_colour_picture_says_so_and_depth_goes_on(robot):
    robot.listen('depth/relative', 'depth/image_raw')
    image = good_image(robot)
    reference = good_image(robot)
    reference.header = image.header
    publisher = robot.publisher(Image, 'reference_depth')
    start = len(robot.node.text())
    robot.ask(image, 'depth/relative', before=lambda: (publisher.publish(reference),
                                                       robot.spin(0.3)))
    robot.node.wait_for_line('/reference_depth: message ignored: .* not a depth image', after=start)


@pytest.mark.parametrize('parameters, words', [
    ({'palette': 'rainbow'}, "parameter 'palette': 'rainbow' is not one of"),
    ({'max_rate': -3.0}, 'max_rate'),
    ({'seed': 'abc'}, "parameter 'seed': 'abc' is not an integer"),
    ({'tasks': '[depht]'}, "unknown task 'depht'"),
])
def test_a_bad_start_value_ends_the_node_with_one_line_and_status_2(parameters, words, tmp_path):
    domain, claim = claim_domain()
    node = NodeProcess(tmp_path / 'log', parameters, domain)
    assert node.process.wait(120) == 2
    assert words in node.text() and 'Traceback' not in node.text()
    assert 'FATAL' in node.text()
    claim.close()


def test_a_misspelt_start_parameter_is_mentioned_with_what_was_meant(tmp_path):
    domain, claim = claim_domain()
    node = NodeProcess(tmp_path / 'log', {'max_rat': 3.0, 'autostart': 'false'}, domain)
    node.wait_for_line("parameter 'max_rat' is unknown and ignored, did you mean max_rate")
    node.stop()
    claim.close()


def test_a_parameter_file_that_ros_cannot_read_ends_the_node_with_one_line(tmp_path):
    file = tmp_path / 'bad.yaml'
    file.write_text('/**: {ros__parameters: {tasks: [semantic:person]}}')  # needs quotes
    domain, claim = claim_domain()
    node = NodeProcess(tmp_path / 'log', {}, domain, params_file=file)
    assert node.process.wait(120) == 2
    assert 'bad.yaml' in node.text() and 'Traceback' not in node.text()
    claim.close()
