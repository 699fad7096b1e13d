# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the node, once: name, default, range, description, and when it may change.

`declare` puts the table on a node. The settings are a plain dict {name: value}, checked together
and replaced whole when something changes, so that one frame never sees half of a change.
"""

import difflib
import math

from diception_ros.bit_depth import BITS
from diception_ros.tasks import DEFAULT_TASKS, TASKS, task_named
from diception_ros.tasks.parameter import AT_START, NOT_ACTIVE, UNCONFIGURED, Parameter
from diception_ros.tasks.registry import spellings


class ParameterError(ValueError):
    """A parameter value that cannot be; str() is one line."""


TABLE = (
    Parameter('autostart', True, 'Configure and activate the node by itself at the start.',
              when=AT_START),
    Parameter('model', 'nano', "The model: 'nano' (comes with the package) or the path of a model "
              'directory made by `diception convert`.', when=UNCONFIGURED),
    Parameter('device', 'cuda', "What runs the model: 'cuda', 'cuda:1', ..., or 'cpu'. There is no "
              'silent fall back: without a CUDA device, configuring fails unless this is cpu.',
              when=UNCONFIGURED),
    Parameter('dtype', 'auto', 'Arithmetic of the model; auto = float32 on the CPU, bfloat16 on a '
              'GPU.', choices=('auto', 'float32', 'float16', 'bfloat16'), when=UNCONFIGURED),
    Parameter('compile', False, 'torch.compile: faster frames after a warm-up of minutes.',
              when=UNCONFIGURED),
    Parameter('quantize', 'none', "int8 holds the transformer's weights in 8 bits (needs torchao).",
              choices=('none', 'int8'), when=UNCONFIGURED),
    Parameter('decoding', 'auto', 'How the VAE decodes: batch = all tasks at once, slices = one '
              'by one, tiles = one by one in tiles; each takes less memory than the one before. '
              "auto = slices for SD3's large VAE, batch for others.",
              choices=('auto', 'batch', 'slices', 'tiles'), when=UNCONFIGURED),
    Parameter('tasks', DEFAULT_TASKS, f'What may run: {", ".join(spellings())}. A list '
              '(semantic:person in quotes), or one string with commas.'),
    Parameter('lazy', True, 'Run a task only while somebody subscribes to one of its outputs.'),
    Parameter('max_rate', 0.0, 'At most this many frames per second are looked at, on average, the '
              'others dropped; after a pause two may follow each other. 0 = as many as the model '
              'holds.', 0.0, 1000.0),
    Parameter('seed', 0, 'Seed of the noise that the model starts from; the same for every frame, '
              'so that pictures do not flicker.', 0, 2**31 - 1),
    Parameter('num_inference_steps', 0, 'Denoising steps of every task; 0 = what the model '
              'directory says for each task.', 0, 1000),
    Parameter('guidance_scale', 0.0, 'Classifier-free guidance of every task; above 1 doubles the '
              'work; 0 = what the model directory says for each task.', 0.0, 30.0),
    *(Parameter(f'{task.kind}.num_inference_steps', 0, f'Denoising steps of {task.kind}; 0 = '
                'num_inference_steps.', 0, 1000) for task in TASKS),
    *(Parameter(f'{task.kind}.guidance_scale', 0.0, f'Classifier-free guidance of {task.kind}; '
                '0 = guidance_scale.', 0.0, 30.0) for task in TASKS),
    Parameter('image_transport', 'raw', 'raw subscribes to image, compressed to image/compressed '
              '(JPEG or PNG): to the topic that image is remapped to, with /compressed behind it '
              'unless it is there.', choices=('raw', 'compressed'), when=NOT_ACTIVE),
    Parameter('image_bits', 'auto', 'How many bits of 16-bit images (mono16, bayer_*16, rgb16, '
              '16-bit PNG) the camera uses: 8 to 16, or auto = measured on the first image; a '
              'later one can only raise it. Set it where the first images may be dark.',
              choices=BITS),
    Parameter('drop_frames', True, 'True: the newest frame wins, older ones are dropped and '
              'counted. False (replay): reliable subscription, frames queue up to queue_size.',
              when=NOT_ACTIVE),
    Parameter('queue_size', 100, 'How many frames may wait with drop_frames false; when it is full '
              'the oldest is dropped, with a warning.', 1, 10000, when=NOT_ACTIVE),
    Parameter('rectified', False, 'The image is rectified (image_rect): P of camera_info describes '
              'it, not K and the distortion.'),
    *(parameter for task in TASKS for parameter in task.parameters),
    Parameter('palette', 'viridis', 'Colours of depth/color.',
              choices=('viridis', 'cividis', 'magma', 'inferno', 'turbo', 'gray')),
    Parameter('overlay.opacity', 0.5, 'How much the overlay covers the camera picture.', 0.0, 1.0),
)
BY_NAME = {parameter.name: parameter for parameter in TABLE}


def defaults():
    """Return the settings of a node that nobody configured: {name: value}."""
    return {parameter.name: parameter.default for parameter in TABLE}


def parsed(name, value):
    """Return `value` in the parameter's type; raise ParameterError if it cannot be that."""
    parameter = BY_NAME[name]
    kind = type(parameter.default)
    if name == 'tasks':
        if isinstance(value, str):
            value = value.split(',')
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            raise ParameterError(f"parameter 'tasks': {value!r} is not a list of task names")
        return tuple(v.strip() for v in value if v.strip())
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is str and type(value) is int and str(value) in parameter.choices:
        value = str(value)
    if type(value) is not kind:
        word = {bool: 'true or false', int: 'an integer', float: 'a number', str: 'a string'}[kind]
        raise ParameterError(f"parameter '{name}': {value!r} is not {word}")
    if parameter.choices and value not in parameter.choices:
        raise ParameterError(f"parameter '{name}': {value!r} is not one of "
                             f'{", ".join(parameter.choices)}')
    if parameter.low is not None and not parameter.low <= value <= parameter.high:
        raise ParameterError(f"parameter '{name}': {value} is not between {parameter.low} and "
                             f'{parameter.high}')
    if kind is float and not math.isfinite(value):
        raise ParameterError(f"parameter '{name}': {value} is not a finite number")
    return value


def settings_from(values, model_tasks=None):
    """Return the settings {name: value} for raw `values`, checked one by one and together.

    model_tasks: what the loaded model can do, None while none is loaded. Raises ParameterError.
    """
    settings = {name: parsed(name, value) for name, value in values.items()}
    for task in settings['tasks']:
        try:
            task_named(task)
        except ValueError as error:
            raise ParameterError(f"parameter 'tasks': {error}") from None
        if model_tasks is not None and task not in model_tasks:
            near = difflib.get_close_matches(task, model_tasks, 1)
            hint = f' (did you mean {near[0]}?)' if near else ''
            raise ParameterError(f"parameter 'tasks': the model cannot do '{task}'{hint}; it can "
                                 f'do {", ".join(model_tasks[:20])}')
    repeated = sorted({t for t in settings['tasks'] if settings['tasks'].count(t) > 1})
    if repeated:
        raise ParameterError(f"parameter 'tasks': {', '.join(repeated)} is there more than once")
    for task in TASKS:
        try:
            task.check_settings(settings)
        except ValueError as error:
            raise ParameterError(str(error)) from None
    if not settings['model'].strip():
        raise ParameterError("parameter 'model': it is empty: use nano or a model directory's path")
    return settings


def check_state(name, state):
    """Raise ParameterError if parameter `name` cannot change in lifecycle state `state` (label)."""
    when = BY_NAME[name].when
    if when == AT_START:
        raise ParameterError(f"parameter '{name}' can be set at the start only")
    if when == UNCONFIGURED and state != 'unconfigured':
        raise ParameterError(f"parameter '{name}' can change only while the node is unconfigured, "
                             f'it is {state}: ros2 lifecycle set deactivate and cleanup first')
    if when == NOT_ACTIVE and state not in ('unconfigured', 'inactive'):
        raise ParameterError(f"parameter '{name}' can change only while the node is not active: "
                             'ros2 lifecycle set deactivate first')


def steps_and_guidance(settings, tasks):
    """Return ({task: steps}, {task: guidance}) of those `tasks` that the settings speak of."""
    steps, guidance = {}, {}
    for task in tasks:
        kind = task.partition(':')[0]
        own = settings[f'{kind}.num_inference_steps'] or settings['num_inference_steps']
        if own:
            steps[task] = own
        own = settings[f'{kind}.guidance_scale'] or settings['guidance_scale']
        if own:
            guidance[task] = own
    return steps, guidance


# ---- on a node ---------------------------------------------------------------------------------

def declare(node):
    """Declare the table on `node`; return its settings, or raise ParameterError."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
    from rclpy.exceptions import ParameterException

    unknown = [name for name in node._parameter_overrides if name not in BY_NAME
               and name != 'use_sim_time' and not name.startswith('qos_overrides.')
               and not node.has_parameter(name)]
    for name in unknown:
        near = difflib.get_close_matches(name, BY_NAME, 1)
        hint = f', did you mean {near[0]}?' if near else ''
        node.get_logger().warning(f"parameter '{name}' is unknown and ignored{hint}")
    values = {}
    for parameter in TABLE:
        descriptor = ParameterDescriptor(
            description=parameter.description, dynamic_typing=True,  # 10 is welcome for 10.0
            additional_constraints=' '.join(filter(None, [
                f'One of {", ".join(parameter.choices)}.' if parameter.choices else '',
                f'May change {parameter.when}.'])))
        if parameter.low is not None:
            if isinstance(parameter.default, int):
                descriptor.integer_range = [IntegerRange(from_value=parameter.low,
                                                         to_value=parameter.high)]
            else:
                descriptor.floating_point_range = [FloatingPointRange(from_value=parameter.low,
                                                                      to_value=parameter.high)]
        try:
            value = node.declare_parameter(parameter.name, parameter.default, descriptor).value
        except ParameterException as error:
            raise ParameterError(' '.join(str(error).split())) from None
        values[parameter.name] = () if value is None and parameter.name == 'tasks' else value
    return settings_from(values)
