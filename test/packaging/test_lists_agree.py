# SPDX-License-Identifier: Apache-2.0
"""What the same fact says in two places agrees: versions, requirements, files, executables."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from setuptools.compat.py310 import tomllib  # Python's own from 3.11 on

import diception_ros

# Distributions whose modules have another name.
DISTRIBUTION_OF = {'PIL': 'pillow', 'cv2': 'opencv-python-headless', 'yaml': 'pyyaml'}
# Imported where they are there, asked for by name, or done without, where they are not.
OPTIONAL = {'OpenEXR', 'cv_bridge', 'onnxruntime', 'pycocotools', 'torchao'}
ROSDEP_KEY_OF = {'PIL': 'python3-pil', 'cv2': 'python3-opencv', 'numpy': 'python3-numpy',
                 'scipy': 'python3-scipy', 'tf2_ros': 'tf2_ros_py', 'yaml': 'python3-yaml'}


@pytest.fixture(scope='module')
def requirements(root):
    """The requirements in pyproject.toml: 'all' that running needs, and the extras by name."""
    content = tomllib.loads((root / 'pyproject.toml').read_text())
    extras = content['project']['optional-dependencies']
    running = [line for name in ('bags', 'convert', 'train') for line in extras[name]]
    return extras | {'all': content['tool']['diception_ros']['dependencies'] + running}


@pytest.fixture(scope='module')
def package_xml(root):
    return ElementTree.parse(root / 'package.xml').getroot()


@pytest.fixture(scope='module')
def imported(root):
    """Every module from outside that the package imports anywhere."""
    modules = set()
    for file in (root / 'diception_ros').rglob('*.py'):
        if (root / 'diception_ros' / 'msg') in file.parents:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module.split('.')[0])
    return modules - set(sys.stdlib_module_names) - {'diception_ros'}


def is_ros(module):
    """Whether a module comes with ROS 2, by its name."""
    return module.startswith(('rclpy', 'tf2_', 'launch', 'rosbag2_', 'ament_', 'rosidl_')) \
        or module.endswith(('_msgs', '_srvs', '_msgs_py', '_interfaces')) or module == 'cv_bridge'


def names(requirements):
    """Return the distributions that requirements name."""
    return {re.match(r'[\w-]+', requirement).group().lower() for requirement in requirements}


def pins(root):
    """Return the versions of constraints.txt by distribution: one for each range of Pythons."""
    found = {}
    for line in (root / 'constraints.txt').read_text().splitlines():
        if line and not line.startswith('#'):
            name, version = re.match(r'([\w.-]+)==([\w.]+)', line).groups()
            found.setdefault(name.lower(), []).append(version)
    return found


def test_the_version_is_the_same_everywhere(package_xml):
    assert package_xml.findtext('version') == diception_ros.__version__
    assert importlib.metadata.version('diception_ros') == diception_ros.__version__


def test_every_import_is_a_requirement_and_every_requirement_is_imported(requirements, imported):
    required = names(requirements['all'])
    needed = {DISTRIBUTION_OF.get(name, name) for name in imported - OPTIONAL if not is_ros(name)}

    assert needed == required


def test_package_xml_names_every_ros_package_that_is_imported(package_xml, imported):
    declared = {element.text for element in package_xml if element.tag.endswith('depend')}

    assert {name for name in imported - set(ROSDEP_KEY_OF) if is_ros(name)} <= declared
    assert {key for name, key in ROSDEP_KEY_OF.items() if name in imported} <= declared


def test_every_requirement_is_pinned_for_ci_and_the_demo(root, requirements):
    pinned = pins(root)
    wanted = set().union(*map(names, requirements.values())) - {'diception_ros'}

    assert {name.replace('_', '-') for name in wanted} <= set(pinned)
    assert pinned['torch'] == ['2.13.0']


def test_every_file_that_a_launch_file_names_exists(root):
    for launch_file in (root / 'launch').glob('*.py'):
        named = set(re.findall(r"'([\w./-]+\.(?:launch\.py|yaml|rviz))'", launch_file.read_text()))
        for name in {Path(name).name for name in named}:
            folder = 'launch' if name.endswith('.launch.py') else 'config'
            assert (root / folder / name).exists(), f'{launch_file.name} names {name}'


def test_every_executable_that_a_launch_file_starts_is_installed(root):
    installed = set(re.findall(r'install_executable\((\w+)', (root / 'CMakeLists.txt').read_text()))
    for launch_file in (root / 'launch').glob('*.py'):
        started = re.findall(
            r"package='diception_ros',\s*executable='(\w+)'", launch_file.read_text())
        assert set(started) <= installed, launch_file.name


def test_launch_files_compile_and_say_what_they_are_for(root):
    launch_files = sorted((root / 'launch').glob('*.launch.py'))
    assert launch_files
    for launch_file in launch_files:
        tree = ast.parse(launch_file.read_text(), launch_file.name)
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert 'generate_launch_description' in functions and ast.get_docstring(tree)


@pytest.mark.skipif(importlib.util.find_spec('rclpy') is None, reason='needs rclpy')
def test_the_console_commands_can_be_imported():
    commands = {command.name: command
                for command in importlib.metadata.distribution('diception_ros').entry_points}

    assert {'diception', 'diception_node'} <= set(commands)
    for command in commands.values():
        assert callable(command.load())


def test_the_executables_of_cmake_can_be_imported(root):
    text = (root / 'CMakeLists.txt').read_text()
    modules = re.findall(r'install_executable\(\w+ \$\{PROJECT_NAME\}([\w.]+)', text)
    assert modules
    for module in modules:
        place = root / 'diception_ros' / module.strip('.').replace('.', '/')
        file = place.with_suffix('.py') if place.with_suffix('.py').exists() else \
            place / '__init__.py'
        assert 'def main(' in file.read_text(), file


def test_importing_the_package_imports_nothing_heavy():
    code = 'import sys, diception_ros; print(*sys.modules)'
    loaded = subprocess.run(
        [sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout.split()

    assert not {'torch', 'numpy', 'cv2', 'rclpy', 'typer'} & set(loaded)


def test_every_field_of_a_message_has_a_comment_that_says_its_unit(root):
    units = re.compile(
        r'pixel|metre|no unit|Number of|True where|Stamp and frame|One entry|category|joints')
    for message in sorted((root / 'msg').glob('*.msg')):
        paragraphs = message.read_text().split('\n\n')
        assert paragraphs[0].startswith('#'), f'{message.name} does not say what it is'
        for paragraph in paragraphs[1:]:
            lines = paragraph.strip().splitlines()
            if all('=' in line for line in lines):
                continue  # constants
            comment = ' '.join(line for line in lines if line.startswith('#'))
            assert units.search(comment), f'{message.name}: {paragraph}'


def test_the_top_level_holds_nothing_but_what_it_is_to_hold(root):
    if not (root / '.git').exists():
        pytest.skip('not a clone')
    tracked = subprocess.run(['git', 'ls-files'], cwd=root, check=True, capture_output=True,
                             text=True).stdout.splitlines()
    assert {path.split('/')[0] for path in tracked} <= {
        '.ci', '.gitignore', '.pre-commit-config.yaml', 'CHANGELOG.md', 'CMakeLists.txt', 'LICENSE',
        'Makefile', 'README.md', 'config', 'constraints.txt', 'diception_ros', 'docs', 'launch',
        'msg', 'package.xml', 'pyproject.toml', 'resource', 'setup.py', 'test'}
