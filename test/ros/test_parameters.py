# SPDX-License-Identifier: Apache-2.0
"""Every parameter's good and bad values, and the files in config/ that name them."""

from pathlib import Path

import pytest
import rclpy
import yaml

from diception_ros.ros.parameters import (
    BY_NAME,
    TABLE,
    ParameterError,
    check_state,
    defaults,
    parsed,
    settings_from,
    steps_and_guidance,
)
from diception_ros.tasks import drawing

CONFIG = Path(__file__).resolve().parents[2] / 'config'


def good_and_bad(parameter):
    """Return (values to accept, values to refuse) of one line of the table."""
    if parameter.name == 'tasks':
        good = [('depth',), ['depth', 'pose'], 'depth, semantic:person', []]
        return good, [3, ['depth', 4], ['depht'], ['semantic:'], ['depth', 'depth']]
    kind = type(parameter.default)
    if kind is bool:
        return [True, False], [1, 'yes', None]
    if parameter.name == 'image_bits':
        return ['auto', 8, 12, '16'], [7, 17, 12.0, True, 'all']
    if parameter.choices:
        return list(parameter.choices), ['purple', 3, '']
    if kind is str:
        return ['somewhere'], [1, True, None]
    good = [parameter.low, parameter.high, int(parameter.high)]
    bad = [parameter.low - 1, parameter.high + 1, 'much', True, float('nan'), float('inf')]
    return good, bad + ([0.5] if kind is int else [])


@pytest.mark.parametrize('name', sorted(BY_NAME))
def test_good_values_are_taken_and_bad_ones_refused_with_the_name(name):
    good, bad = good_and_bad(BY_NAME[name])
    # what some values need of others
    around = {'depth.camera_height': 1.0, 'depth.near': 0.001, 'depth.far': 1000.0}
    for value in good:
        if name == 'depth.near' and value == 1000 or name == 'depth.far' and value in (0, 0.001):
            continue
        settings = settings_from({**defaults(), **around, name: value})
        assert type(settings[name]) is type(BY_NAME[name].default)
    for value in bad:
        with pytest.raises(ParameterError, match=name) as caught:
            settings_from({**defaults(), **around, name: value})
        assert '\n' not in str(caught.value)


def test_every_parameter_is_described_with_a_default_that_is_valid():
    assert settings_from(defaults()) == defaults()
    for parameter in TABLE:
        assert len(parameter.description) > 15 and parameter.description.endswith('.')


def test_values_that_do_not_fit_together_are_refused():
    for values, words in (({'depth.near': 5.0, 'depth.far': 2.0}, 'not below depth.far'),
                          ({'depth.scale': 'ground_plane'}, 'set depth.camera_height first'),
                          ({'model': ' '}, 'it is empty')):
        with pytest.raises(ParameterError, match=words):
            settings_from({**defaults(), **values})


def test_a_task_that_the_model_cannot_do_is_refused_with_what_it_can():
    with pytest.raises(ParameterError, match="cannot do 'pose'.*it can do depth, normals"):
        settings_from({**defaults(), 'tasks': ['pose']}, ['depth', 'normals'])


def test_the_model_changes_only_while_unconfigured_and_the_input_only_while_not_active():
    for state in ('unconfigured', 'inactive', 'active'):
        check_state('palette', state)
    check_state('model', 'unconfigured')
    check_state('drop_frames', 'inactive')
    for name, state in (('model', 'inactive'), ('device', 'active'), ('drop_frames', 'active'),
                        ('autostart', 'unconfigured')):
        with pytest.raises(ParameterError, match=name):
            check_state(name, state)


def test_steps_of_a_kind_win_over_steps_of_all_and_zero_leaves_it_to_the_model():
    settings = {**defaults(), 'num_inference_steps': 4, 'semantic.num_inference_steps': 2,
                'pose.guidance_scale': 1.5}
    steps, guidance = steps_and_guidance(settings, ['depth', 'semantic:person', 'pose'])
    assert steps == {'depth': 4, 'semantic:person': 2, 'pose': 4}
    assert guidance == {'pose': 1.5}


def test_the_default_file_has_every_parameter_with_its_default_and_a_comment():
    text = (CONFIG / 'diception.yaml').read_text()
    values = yaml.safe_load(text)['/**']['ros__parameters']
    assert {name: parsed(name, value) for name, value in values.items()} == defaults()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.strip().partition(':')[0] in BY_NAME:
            assert lines[number - 1].strip().startswith('#'), line


@pytest.mark.parametrize('file', sorted(
    file for file in CONFIG.glob('*.yaml') if file.name != 'cameras.yaml'),
    ids=lambda file: file.name)
def test_every_ready_set_of_parameters_is_valid_and_read_by_ros(file):
    # rcl's own parser is stricter than PyYAML.
    rclpy.init(args=['--ros-args', '--params-file', str(file)], context=rclpy.Context())
    values = yaml.safe_load(file.read_text())
    settings_from({**defaults(), **values['/**']['ros__parameters']})


def test_the_palettes_are_those_that_can_be_drawn():
    assert BY_NAME['palette'].choices == tuple(drawing.PALETTES)
