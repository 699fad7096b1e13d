# SPDX-License-Identifier: Apache-2.0
"""colcon builds the package in an empty workspace, copied, and symlinked without the laboratory.

1. Build a copy of the sources. 2. In a shell that sourced the result, send messages through the
serialisation and see that all comes from there. 3. Start the executable that ros2 run starts.
"""

import importlib.util

import pytest


@pytest.mark.skipif(importlib.util.find_spec('colcon_core') is None,
                    reason='needs colcon: make venv')
@pytest.mark.parametrize('options, laboratory', [
    ([], True), (['--symlink-install', '--cmake-args', '-DDICEPTION_LAB=OFF'], False)],
    ids=['copied', 'symlinked-without-laboratory'])
def test_colcon_builds_messages_modules_and_a_node_that_starts(
        sources, tmp_path, run, check_installed, options, laboratory):
    run('colcon', 'build', *options, '--base-paths', sources,
        '--event-handlers', 'console_direct+', cwd=tmp_path)

    package = tmp_path / 'install' / 'diception_ros'
    check_installed(package, package / 'lib/diception_ros/diception_node',
                    source=tmp_path / 'install/setup.sh')
    for folder in ('launch', 'config'):
        installed = {file.name for file in (package / 'share/diception_ros' / folder).iterdir()}
        left_out = set() if laboratory else {'demo.launch.py'}
        assert installed == {file.name for file in (sources / folder).iterdir()} - left_out
    assert bool(list(package.glob('lib/python3*/*-packages/diception_ros/lab'))) == laboratory
    assert (package / 'lib/diception_ros/world_camera').exists() == laboratory
    help_text = run('sh', '-c', '. install/setup.sh && exec diception --help', cwd=tmp_path)
    assert 'diception' in help_text
    assert ('evaluate' in help_text) == laboratory
