# SPDX-License-Identifier: Apache-2.0
"""Parameters of a live node: set while frames flow, refused whole with the reason."""

import numpy as np
import pytest

from diception_ros.ros.images import from_array
from diception_ros.ros.parameters import BY_NAME
from diception_ros.tasks.parameter import ANY_TIME

VALUES = {
    'tasks': (['depth', 'semantic:floor'], ['semantic:unicorn']), 'lazy': (False, 'no'),
    'max_rate': (30, -1.0), 'seed': (7, -1), 'num_inference_steps': (2, 5000),
    'guidance_scale': (1.5, float('nan')), 'rectified': (True, 1),
    'depth.scale': ('near_far', 'ground_plane'), 'depth.near': (0.5, 50.0),
    'depth.far': (20, 0.1), 'depth.camera_height': (1.2, -1.0), 'depth.gravity_frame': ('odom', 3),
    'depth.reference_tolerance': (1.0, 100.0), 'depth.keep_reference': (False, 'no'),
    'cloud.stride': (2, 0), 'points.mode': ('fixed', 'loose'),
    'points.on_full': ('refuse', 'maybe'), 'points.fixed_frame': ('odom', 3),
    'palette': ('turbo', 'rainbow'), 'overlay.opacity': (0.25, 1.5), 'image_bits': ('12', '7')}
for _name in BY_NAME:
    if _name.endswith('.num_inference_steps'):
        VALUES[_name] = (2, -1)
    if _name.endswith('.guidance_scale'):
        VALUES[_name] = (2.0, 31.0)


def image(robot):
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return from_array(rgb, 'rgb8', robot.header())


def test_every_parameter_takes_a_good_value_and_refuses_a_bad_one_and_frames_go_on(robot):
    robot.listen('depth/relative')
    for name, parameter in BY_NAME.items():
        if parameter.when != ANY_TIME:
            continue
        good, bad = VALUES[name]
        before = robot.get(name)
        reason = robot.set(**{name: bad})
        assert reason and '\n' not in reason, name
        assert robot.get(name) == before, name
        assert robot.set(**{name: good}) == '', name
        assert robot.get(name) == good, name
        assert robot.set(**{name: before if before is not None else []}) == '', name
    robot.ask(image(robot))


@pytest.mark.parametrize('name', [n for n, p in BY_NAME.items() if p.when != ANY_TIME])
def test_what_concerns_model_device_and_input_is_refused_while_active(robot, name):
    assert f"parameter '{name}' can" in robot.set(**{name: BY_NAME[name].default})


def test_a_set_of_values_with_one_bad_one_changes_nothing(robot):
    reason = robot.set(palette='magma', seed=3, max_rate=-1.0)
    assert 'max_rate' in reason
    assert robot.get('palette') == 'viridis' and robot.get('seed') == 0


def test_a_changed_palette_and_other_tasks_show_in_the_next_frame(robot):
    robot.listen('depth/color')
    before = robot.ask(image(robot))['depth/color']
    assert robot.set(palette='magma') == ''
    after = robot.ask(image(robot))['depth/color']
    assert before.data != after.data
    assert robot.set(tasks=['normals']) == ''
    robot.listen('normals/color')
    robot.ask(image(robot))


def test_a_string_with_commas_is_as_good_as_a_list_of_tasks(robot):
    assert robot.set(tasks='depth, pose') == ''
    robot.listen('poses')
    robot.ask(image(robot))


def test_the_noise_changes_with_the_seed_and_the_picture_with_the_steps(robot):
    robot.listen('depth/relative')
    first = robot.ask(image(robot))['depth/relative'].data
    assert robot.set(seed=1) == ''
    assert robot.ask(image(robot))['depth/relative'].data != first
    assert robot.set(seed=0, depth__num_inference_steps=3) == ''
    assert robot.ask(image(robot))['depth/relative'].data != first
    assert robot.set(depth__num_inference_steps=0) == ''
    assert robot.ask(image(robot))['depth/relative'].data == first


def test_max_rate_drops_what_comes_faster(robot):
    """One in 1000 s: however slow the machine is, it is not the rate that it holds."""
    robot.listen('depth/relative')
    robot.ask(image(robot))
    assert robot.set(max_rate=0.001) == ''
    robot.heard_all = []
    for _ in range(5):
        robot.send(image(robot))
        robot.spin(0.2)
    assert len(robot.heard_all) <= 1
