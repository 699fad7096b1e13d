# SPDX-License-Identifier: Apache-2.0
"""Everything that users touch is as docs/reference/contract.yaml says.

Each section is derived from the code, the topics from a node that answers a frame. A change that
is meant is written into the file by the command in REWRITE; whoever reads the change sees it there.
"""

import difflib
import importlib.util
import inspect
import json
import re
import runpy
import sys
import time
import types
import typing
from dataclasses import fields
from pathlib import Path

import pytest
import typer
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'docs' / 'reference' / 'contract.yaml'
REWRITE = 'python -m pytest test/test_contract.py --rewrite-contract'
HEAD = f"""\
# What users touch: names, types, defaults and ranges. Derived from the code and held by
# test/test_contract.py; after a change that is meant, with a line in CHANGELOG.md:
#     {REWRITE}
"""
needs_ros = pytest.mark.skipif(
    importlib.util.find_spec('rclpy') is None, reason='needs rclpy')


@pytest.fixture
def hold(request):
    """Return a function that compares a section with the file, or writes it there."""
    def hold(section, found):
        written = yaml.safe_load(FILE.read_text()) if FILE.exists() else {}
        if request.config.getoption('--rewrite-contract'):
            FILE.write_text(HEAD + as_text(written | {section: found}))
            return
        before, now = (as_text({section: part}).splitlines()
                       for part in (written.get(section), found))
        changed = '\n'.join(difflib.unified_diff(before, now, str(FILE), 'the code', '', '', 2, ''))
        assert not changed, (f'the contract with users has changed; if that is meant: {REWRITE}, '
                             f'and a line in CHANGELOG.md\n{changed}')
    return hold


def as_text(contract):
    """Return a contract as YAML, a blank line between its sections."""
    return '\n'.join(yaml.safe_dump({name: part}, sort_keys=False, width=1000, allow_unicode=True)
                     for name, part in contract.items())


# ---- ROS

@pytest.fixture(scope='module')
def node(tmp_path_factory):
    """A node that knows every kind of task and has answered a frame, and what it published.

    Returns (the node, {topic: a message}). Nothing passes through the middleware.
    """
    import rclpy
    from rclpy.parameter import Parameter
    from rclpy.publisher import Publisher
    from tiny_model import write_tiny_model

    from diception_ros.node import DiceptionNode

    tasks = {task: (1, 1.0) for task in (
        'depth', 'normals', 'entities', 'segmentation', 'semantic', 'pose', 'restoration:denoise',
        'adapter:NAME')}
    model = write_tiny_model(tmp_path_factory.mktemp('models') / 'tiny', autoencoder=None, size=32,
                             tasks=tasks)
    settings = {
        'autostart': False, 'device': 'cpu', 'model': str(model), 'lazy': False,
        'tasks': ['semantic:person', *(task for task in tasks if task != 'semantic')]}
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    published = {}

    def note(publisher, message):
        published[publisher.topic_name] = message

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Publisher, 'publish', note)
        node = DiceptionNode(context=context, parameter_overrides=[
            Parameter(name, value=value) for name, value in settings.items()])
        node.trigger_configure()
        node.trigger_activate()
        show_a_picture(node, published)
        yield node, published
        node.trigger_shutdown()
        node.worker.stop(10)
        node.destroy_node()
    rclpy.try_shutdown(context=context)


def show_a_picture(node, published):
    """Hand a node one picture and all that belongs to it; return when it is answered."""
    import numpy as np
    from geometry_msgs.msg import Point
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header

    from diception_ros.ros.images import from_array

    rng, header = np.random.default_rng(0), Header(frame_id='camera')
    ramp = np.tile(np.linspace(1, 4, 32, dtype=np.float32), (32, 1))
    messages = {
        'camera_info': CameraInfo(header=header, width=32, height=32, distortion_model='plumb_bob',
                                  k=[32.0, 0, 16, 0, 32, 16, 0, 0, 1]),
        'reference_depth': from_array(ramp, '32FC1', header),
        'clicked_pixel': Point(x=16.0, y=16.0),
        'image': from_array(rng.integers(0, 256, (32, 32, 3), np.uint8), 'rgb8', header)}
    listeners = {subscription.topic_name.lstrip('/'): subscription.callback
                 for subscription in node.subscriptions}
    for topic, message in messages.items():
        listeners[topic](message)
    patience = time.monotonic() + 60
    while '/diception/debug/latency_ms' not in published:
        assert time.monotonic() < patience, f'the picture is not answered: {node.health.last_error}'
        time.sleep(0.02)


def of_messages(message_type):
    """Return a message type as ROS 2 writes it: sensor_msgs/Image."""
    return f'{message_type.__module__.split(".")[0]}/{message_type.__name__}'


def short(topic, node):
    """Return a topic as the documentation names it: relative, the node's own with ~."""
    own = node.get_name()
    if topic == '/diagnostics' or topic == '/tf':
        return topic
    return re.sub(f'^/{own}/', '~/', topic).removeprefix('/')


def quality(qos):
    """Return a QoS profile in words: 'reliable, volatile, depth 1'."""
    return f'{qos.reliability.name}, {qos.durability.name}, depth {qos.depth}'.lower()


OF_EVERY_NODE = ('rcl_interfaces', 'lifecycle_msgs', 'type_description_interfaces', 'rosgraph_msgs')


@needs_ros
def test_the_topics_that_the_node_publishes(node, hold):
    node, published = node
    found = {}
    for publisher in node.publishers:
        if publisher.msg_type.__module__.startswith(OF_EVERY_NODE):
            continue
        message = published.get(publisher.topic_name)
        found[short(publisher.topic_name, node)] = ', '.join([
            f'{of_messages(publisher.msg_type)} {getattr(message, "encoding", "")}'.strip(),
            quality(publisher.qos_profile)])
        if publisher.msg_type.__name__ == 'Image':
            assert message is not None, f'nothing was published on {publisher.topic_name}'
    hold('topics out', dict(sorted(found.items())))


@needs_ros
def test_the_topics_that_the_node_subscribes_to(node, hold):
    node, _ = node

    def topics():
        return {short(s.topic_name, node): f'{of_messages(s.msg_type)}, {quality(s.qos_profile)}'
                for s in node.subscriptions if not s.msg_type.__module__.startswith(OF_EVERY_NODE)}
    found = topics()
    node.trigger_deactivate()
    from rclpy.parameter import Parameter
    for changed in ({'image_transport': 'compressed'}, {'drop_frames': False}):
        assert node.set_parameters([Parameter(name, value=value)
                                    for name, value in changed.items()])[0].successful
        node.trigger_activate()
        where = ', '.join(f'{name}: {str(value).lower()}' for name, value in changed.items())
        found |= {f'{topic} ({where})': words for topic, words in topics().items()
                  if found.get(topic) != words}
        node.trigger_deactivate()
        node.set_parameters([Parameter('image_transport', value='raw')])
    hold('topics in', dict(sorted(found.items())))


@needs_ros
def test_the_services_of_the_node(node, hold):
    node, _ = node
    hold('services', {short(service.srv_name, node): of_messages(service.srv_type)
                      for service in node.services
                      if not service.srv_type.__module__.startswith(OF_EVERY_NODE)})


def test_the_parameters_of_the_node(hold):
    from diception_ros.ros.parameters import TABLE
    found = {}
    for parameter in TABLE:
        default, choices = parameter.default, ' | '.join(parameter.choices)
        if type(default) is tuple:
            default = ','.join(default)
        found[parameter.name] = ', '.join(filter(None, [
            {tuple: 'string list', str: 'string'}.get(type(parameter.default))
            or type(default).__name__,
            f'default {default!r}',
            f'{parameter.low} to {parameter.high}' if parameter.low is not None else choices,
            f'changes {parameter.when}']))
    hold('parameters', found)


def test_the_messages(hold):
    hold('messages', {
        file.stem: [' '.join(line.split()) for line in file.read_text().splitlines()
                    if line and not line.startswith('#')]
        for file in sorted((ROOT / 'msg').glob('*.msg'))})


def test_the_executables(hold):
    text = (ROOT / 'CMakeLists.txt').read_text()
    hold('executables', sorted(re.findall(r'^\s*install_executable\((\w+) \$', text, re.M)))


class Stub:
    """Stands for anything of `launch`, `launch_ros` and what launch files import beside them."""

    def __init__(self, *arguments, **named):
        self.arguments, self.named = arguments, named

    def __str__(self):
        return ''.join(map(str, self.arguments))


class Joined(Stub):
    """PathJoinSubstitution."""

    def __str__(self):
        return '/'.join(map(str, self.arguments[0]))


class Share(Stub):
    """FindPackageShare."""

    def __str__(self):
        return f'$(find-pkg-share {self.arguments[0]})'


class Declared(Stub):
    """DeclareLaunchArgument."""


class StubModule(types.ModuleType):
    known = {'PathJoinSubstitution': Joined, 'FindPackageShare': Share,
             'DeclareLaunchArgument': Declared}

    def __getattr__(self, name):
        return self.known.get(name, Stub)


def test_the_launch_files_and_their_arguments(hold, monkeypatch):
    """Without launch, which a virtual environment has not."""
    found = {}
    for file in sorted((ROOT / 'launch').glob('*.launch.py')):
        for name in re.findall(r'^from (\S+) import', file.read_text(), re.M):
            monkeypatch.setitem(sys.modules, name, StubModule(name))
        module = runpy.run_path(str(file))
        found[file.name] = {}
        for entity in module['generate_launch_description']().arguments[0]:
            if isinstance(entity, Declared):
                default = entity.named.get('default_value')
                found[file.name][entity.arguments[0]] = (
                    'required' if default is None else f'default {str(default)!r}')
    hold('launch files', found)


# ---- the command and Python

def test_the_verbs_and_their_options(hold):
    from diception_ros.cli import app
    found = {}

    def walk(command, name):
        if hasattr(command, 'list_commands'):
            for verb in command.list_commands(None):
                walk(command.get_command(None, verb), f'{name} {verb}')
            return
        hints = typing.get_type_hints(inspect.unwrap(command.callback), include_extras=True)
        found[name] = {
            '/'.join(option.opts + option.secondary_opts) if option.opts[0].startswith('-')
            else option.name.upper(): described(option, *typing.get_args(hints[option.name]))
            for option in command.params if option.name in hints}
    walk(typer.main.get_command(app), 'diception')
    hold('verbs', dict(sorted(found.items())))


def described(option, kind, given):
    """Return type, range and default of an option in words."""
    kind = kind.__name__ if inspect.isclass(kind) and not typing.get_args(kind) else str(kind)
    low, high = given.min, given.max
    return ', '.join(filter(None, [
        kind.removesuffix(' | None').replace('pathlib.', ''),
        '' if low is None else f'from {low}', '' if high is None else f'to {high}',
        'required' if option.required else
        '' if option.default is None else f'default {option.default}']))


def test_the_names_of_python_and_their_signatures(hold):
    from diception_ros import model
    found = {'from diception_ros.model import': ', '.join(sorted(model.__all__))}
    pipeline = model.DiceptionPipeline
    for name, method in vars(pipeline).items():
        function = getattr(method, '__func__', method)
        if inspect.isfunction(function) and (name == '__call__' or not name.startswith('_')):
            found[f'DiceptionPipeline.{name}'] = re.sub(
                r"(: |-> )'([^']*)'|<function \S*(<lambda>) at \w+>", r'\1\2\3',
                str(inspect.signature(function)))
    found |= {f'Perception.{field.name}': field.type for field in fields(model.Perception)}
    hold('python', found)


def test_the_files_and_fields_of_a_model_directory(hold, tmp_path):
    from tiny_model import write_tiny_model

    from diception_ros.model.checkpoints import CONFIG_FILE, ModelError, read_config
    folder = write_tiny_model(tmp_path / 'tiny')
    config = json.loads((folder / CONFIG_FILE).read_text())

    def without(field):
        (tmp_path / CONFIG_FILE).write_text(json.dumps(
            {name: value for name, value in config.items() if name != field}))
        try:
            found = read_config(tmp_path)
        except ModelError:
            return 'required'
        return f'default {found[field]!r}' if field in found else 'optional'
    known = sorted({*config, *read_config(folder)})
    hold('model directory', {
        'files': sorted(str(file.relative_to(folder)) for file in folder.rglob('*')
                        if file.is_file() and not file.name.startswith('.')),
        CONFIG_FILE: {field: without(field) for field in known}})
