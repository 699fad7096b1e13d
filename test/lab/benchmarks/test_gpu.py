# SPDX-License-Identifier: Apache-2.0
"""`diception bench gpu`, on the CPU with the small shape."""
import json

import pytest

from diception_ros.cli import main
from diception_ros.lab.benchmarks.gpu import flops


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(['bench', 'gpu', *arguments])
    return ended.value.code


def test_it_measures_every_number_of_tasks_and_steps(capsys):
    assert call('--device', 'cpu', '--shape', 'small', '--size', '64', '--steps', '1,2',
                '--tasks', '1,6', '--repeat', '1', '--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert report['matmul_tflops'] > 0 and report['weights_mb']['transformer'] > 0
    assert [(row['tasks'], row['steps']) for row in report['frames']] == [
        (1, 1), (1, 2), (6, 1), (6, 2)]
    for row in report['frames']:
        assert set(row['ms']) == {'encode', 'sample', 'decode_latents', 'all'}
        assert row['floor_ms'] > 0 and row['ms']['all'] > 0


def test_a_table_is_printed_for_eyes(capsys):
    assert call('--device', 'cpu', '--shape', 'small', '--size', '64', '--steps', '1', '--tasks',
                '1', '--repeat', '1') == 0
    assert 'floor ms' in capsys.readouterr().out


def test_the_full_shape_costs_what_the_published_shapes_do():
    counted = {part: round(work / 1e12, 2) for part, work in flops('full', 768).items()}
    assert counted == {'encode': 2.61, 'transformer': 10.32, 'decode': 5.76}


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--shape', 'huge'], '--shape'), (['--steps', '0'], '--steps'), (['--tasks', '7'], '--tasks'),
    (['--shape', 'small', '--size', '100'], '--size: 100 is not a multiple of 16'),
    (['--quantize', 'int3', '--shape', 'small'], 'quantize')])
def test_wrong_options_are_told(arguments, message, capsys):
    assert call('--device', 'cpu', *arguments) == 1
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1
