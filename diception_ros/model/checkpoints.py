# SPDX-License-Identifier: Apache-2.0
"""Model files: reading, checking and writing them.

A model directory is in diffusers' layout (`transformer/`, `vae/`, `scheduler/`, `point_encoder/`)
plus `prompts.safetensors` and `diception.json`, which says everything in which models differ. Only
safetensors are read here, each tensor checked by name and shape: diffusers' own loaders warn and
go on with random weights where one is missing. The published pickle is `conversion.py`'s job.
"""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, AutoencoderTiny, FlowMatchEulerDiscreteScheduler
from safetensors import SafetensorError, safe_open

from diception_ros.errors import first_line
from diception_ros.model.autoencoder import GuidedAutoencoder
from diception_ros.model.image_encoder import ImageEncoder
from diception_ros.model.points import PointEncoder
from diception_ros.model.prompts import PromptBank
from diception_ros.model.transformer import DiceptionTransformer
from diception_ros.output_folder import OutputError, OutputFolder
from diception_ros.tasks.registry import BY_KIND

CONFIG_FILE = 'diception.json'
PROMPTS_FILE = 'prompts.safetensors'
WEIGHTS = Path(__file__).resolve().parent.parent / 'weights'
AUTOENCODERS = {model.__name__: model for model in
                (AutoencoderKL, AutoencoderTiny, GuidedAutoencoder)}
DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
# Fields of diception.json that may be left out.
OPTIONAL = {
    'categories': [], 'initial_noise': 'gaussian', 'point_order': 'yx', 'max_points': 5,
    'normal_axes': ['left', 'up', 'back'], 'pose_encoding': 'discs', 'entity_colors': 'random',
    'semantic_painting': 'white', 'resample': 'area', 'prompts': {}}
# The angles of the point encoding do not survive half precision.
KEEP_FLOAT32 = frozenset({'positional_encoding_gaussian_matrix'})
# A table that the constructor computes: a file may leave it out.
COMPUTED = frozenset({'pos_embed.pos_embed'})


class ModelError(ValueError):
    """A model that cannot be used: one line that names the file or argument and the way out."""


@dataclass
class Components:
    """Everything that a pipeline is made of."""

    config: dict[str, Any]                                        # diception.json
    transformer: DiceptionTransformer
    scheduler: FlowMatchEulerDiscreteScheduler
    prompts: PromptBank
    point_encoder: PointEncoder | None                            # None: no point prompts
    autoencoder: torch.nn.Module | None                           # None: pixel space
    image_encoder: ImageEncoder | None = None                     # None: sees latents only


def stride_of(autoencoder) -> int:
    """Picture pixels per latent; 1 in pixel space."""
    if autoencoder is None:
        return 1
    if isinstance(autoencoder, AutoencoderKL):
        return 2 ** (len(autoencoder.config.block_out_channels) - 1)
    if isinstance(autoencoder, AutoencoderTiny):
        return 2 ** (len(autoencoder.config.encoder_block_out_channels) - 1)
    return autoencoder.stride


# Reading a model directory

def load_model(model: str | Path, device: torch.device, dtype: torch.dtype,
               report: Callable[[str, float], None] = lambda what, done: None) -> Components:
    """Read a model directory, or an embedded model by name ('nano'); ModelError if it is unfit.

    report(what, done): told which file is read and how much of all bytes has been, 0..1.
    """
    folder = find_model(model)
    config = read_config(folder)
    scheduler = load_scheduler(folder / 'scheduler')
    total = max(1, sum(file.stat().st_size for file in folder.glob('**/*.safetensors')))
    read = 0

    def load(component: type | None, name: str):
        def progress(nbytes: int) -> None:
            nonlocal read
            read += nbytes
            report(f'loading {name}', min(1.0, read / total))
        progress(0)
        if component is None:
            return load_autoencoder(folder / name, dtype, device, progress)
        return load_component(component, folder / name, dtype, device, progress)

    transformer = load(DiceptionTransformer, 'transformer')
    point_encoder = load(PointEncoder, 'point_encoder') if config['max_points'] else None
    autoencoder = load(None, 'vae') if config['space'] == 'latent' else None
    image_encoder = (load(ImageEncoder, 'image_encoder')
                     if transformer.image_feature_embedder is not None else None)
    report('loading prompts', min(1.0, read / total))
    try:
        prompts = PromptBank.load(folder / PROMPTS_FILE, config['prompts']).to('cpu', dtype)
    except ValueError as error:
        raise ModelError(str(error)) from None
    components = Components(config, transformer, scheduler, prompts, point_encoder, autoencoder,
                            image_encoder)
    check_fit(components, folder)
    return components


def find_model(model: str | Path) -> Path:
    """The directory of a model given by path, or by name where the package holds it."""
    folder = Path(model).expanduser()
    embedded = WEIGHTS / str(model)
    if not folder.exists() and folder.name == str(model) and embedded.is_dir():
        return embedded
    if not folder.exists():
        names = sorted(p.name for p in WEIGHTS.iterdir()) if WEIGHTS.is_dir() else []
        raise ModelError(f'model: no directory {str(model)!r}; give a model directory made by '
                         f'`diception convert`, or one of {names}')
    if folder.is_file():
        raise ModelError(f'model: {folder} is a file; a model is a directory, made by '
                         '`diception convert`')
    index = folder / 'model_index.json'
    if not (folder / CONFIG_FILE).is_file() and index.is_file() and (
            (name := read_json(index).get('_class_name')) != 'DiceptionPipeline'):
        raise ModelError(f'model: {folder} is a {name} of diffusers, not a model; SD3 medium and '
                         'DICEPTION_v1.pth become one with `diception convert`')
    return folder


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; ModelError, one line, if there is none."""
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise ModelError(f'{file}: missing; copy or convert the model again') from None
    except (OSError, ValueError) as error:
        raise ModelError(f'{file}: cannot be read as JSON ({error})') from None
    if not isinstance(content, dict):
        raise ModelError(f'{file}: must hold a JSON object')
    return content


def read_config(folder: Path) -> dict[str, Any]:
    """`diception.json` of a model directory, checked and with its optional fields filled in."""
    file = folder / CONFIG_FILE
    config = {**OPTIONAL, **read_json(file)}

    def check(field: str, fits: bool, expected: str) -> None:
        if not fits:
            raise ModelError(f'{file}: {field!r} is {config.get(field)!r}; expected {expected}')

    check('format', config.get('format') == 1, '1; a newer diception_ros wrote it')
    size = config.get('resolution')
    check('resolution', isinstance(size, list) and len(size) == 2 and
          all(isinstance(n, int) and n > 0 for n in size), '[width, height] in pixels')
    for field, choices in (('space', ('latent', 'pixel')),
                           ('initial_noise', ('zeros', 'gaussian')),
                           ('point_order', ('yx', 'xy')),
                           ('resample', ('area', 'lanczos')),
                           ('semantic_painting', ('white', 'random', 'auto'))):
        check(field, config.get(field) in choices, ' or '.join(choices))
    check('max_points', isinstance(config['max_points'], int) and config['max_points'] >= 0,
          'a whole number, 0 for a model without point prompts')
    check('categories', isinstance(config['categories'], list), 'a list of names')
    check('prompts', isinstance(config['prompts'], dict), 'an object {key: text}')
    tasks = config.get('tasks')
    check('tasks', isinstance(tasks, dict) and bool(tasks) and all(
        isinstance(t, dict) and isinstance(t.get('num_inference_steps'), int)
        and t['num_inference_steps'] >= 1 and isinstance(t.get('guidance_scale'), (int, float))
        for t in tasks.values()),
        '{task: {"num_inference_steps": 1.., "guidance_scale": number}, ...}')
    return config


def load_component(model_class: type, folder: Path, dtype: torch.dtype,
                   device: torch.device | str = 'cpu',
                   progress: Callable[[int], None] = lambda nbytes: None) -> torch.nn.Module:
    """Build `model_class` from `folder/config.json` and fill it from the safetensors beside it.

    No weight is initialised or held twice. progress(nbytes): told the bytes of every tensor that
    was read. ModelError names the file and what is wrong with it.
    """
    model = build(model_class, folder)
    state = {}
    for file in weight_files(folder):
        try:
            with safe_open(file, framework='pt', device='cpu') as tensors:
                for name in tensors.keys():
                    tensor = tensors.get_tensor(name)
                    state[name] = tensor.to(device, kept_dtype(name, dtype))
                    progress(tensor.nbytes)
        except (SafetensorError, OSError) as error:
            raise ModelError(f'{file}: damaged or truncated ({error}); copy it again') from None
    return fill(model, state, folder, optional=COMPUTED).to(device)


def build(model_class: type, folder: Path) -> torch.nn.Module:
    """An instance of the model in `folder/config.json`, its parameters on the meta device."""
    config = read_json(folder / 'config.json')
    if model_class is AutoencoderTiny:                            # it writes this field itself, and
        config.pop('block_out_channels', None)                    # warns of it when it reads it
    try:
        with init_empty_weights(include_buffers=False):
            return model_class.from_config(config)
    except Exception as error:                                    # whatever a wrong value causes
        raise ModelError(f'{folder / "config.json"}: not the configuration of a '
                         f'{model_class.__name__} ({first_line(error)})') from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a component in diffusers' layout, whole or in shards."""
    index = folder / 'diffusion_pytorch_model.safetensors.index.json'
    single = folder / 'diffusion_pytorch_model.safetensors'
    if index.is_file():
        shards = read_json(index).get('weight_map', {})
        files = [folder / name for name in sorted(set(shards.values()))]
    else:
        files = [single]
    for file in files:
        if not file.is_file():
            raise ModelError(f'{file}: missing; copy or convert the model again')
    return files


def kept_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype in which a tensor of this name is held in a model of `dtype`."""
    return torch.float32 if name.rpartition('.')[2] in KEEP_FLOAT32 else dtype


def check_state(model: torch.nn.Module, state: Mapping[str, torch.Tensor], source: Any,
                optional: Iterable[str] = ()) -> None:
    """Do the names and shapes of `state` agree with the model's? ModelError names what does not."""
    expected = model.state_dict()
    missing = sorted(expected.keys() - state.keys() - set(optional))
    unexpected = sorted(state.keys() - expected.keys())
    wrong = sorted(f'{name} {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}'
                   for name in expected.keys() & state.keys()
                   if state[name].shape != expected[name].shape)
    problems = [f'{what} {", ".join(names[:3])}' + (f' and {len(names) - 3} more'
                                                     if len(names) > 3 else '')
                for what, names in (('missing', missing), ('unexpected', unexpected),
                                    ('wrong shape', wrong)) if names]
    if problems:
        raise ModelError(f'{source}: does not fit {type(model).__name__}: {"; ".join(problems)}')


def fill(model: torch.nn.Module, state: Mapping[str, torch.Tensor], source: Any,
         optional: Iterable[str] = ()) -> torch.nn.Module:
    """Put the tensors of `state` in place of the model's own; every name and shape must agree."""
    check_state(model, state, source, optional)
    model.load_state_dict(dict(state), strict=not optional, assign=True)
    return model.requires_grad_(False).eval()


def load_autoencoder(folder: Path, dtype: torch.dtype, device: torch.device | str = 'cpu',
                     progress: Callable[[int], None] = lambda nbytes: None):
    """The autoencoder in `folder`, of the class that its config.json names."""
    name = read_json(folder / 'config.json').get('_class_name')
    if name not in AUTOENCODERS:
        raise ModelError(f'{folder / "config.json"}: autoencoder class {name!r} is not one of '
                         f'{sorted(AUTOENCODERS)}')
    return load_component(AUTOENCODERS[name], folder, dtype, device, progress)


def load_scheduler(folder: Path) -> FlowMatchEulerDiscreteScheduler:
    """The sampler's schedule; ModelError if it is another scheduler's."""
    config = read_json(folder / 'scheduler_config.json')
    if config.get('_class_name') != 'FlowMatchEulerDiscreteScheduler':
        raise ModelError(f'{folder / "scheduler_config.json"}: {config.get("_class_name")!r} is '
                         'not FlowMatchEulerDiscreteScheduler: not a flow matching model')
    return FlowMatchEulerDiscreteScheduler.from_config(config)


def check_fit(components: Components, source: Any) -> None:
    """Do the components of a model fit each other and its diception.json? ModelError if not."""
    config, transformer = components.config, components.transformer

    def check(fits: bool, problem: str) -> None:
        if not fits:
            raise ModelError(f'{source}: {problem}')

    channels = latent_channels(components.autoencoder)
    check(transformer.config.in_channels == channels == transformer.config.out_channels,
          f'the transformer works on {transformer.config.in_channels} channels, '
          f'the {"autoencoder" if components.autoencoder is not None else "picture"} '
          f'has {channels}')
    widths = (transformer.config.joint_attention_dim, transformer.config.pooled_projection_dim)
    check(components.prompts.widths == widths, f'{PROMPTS_FILE} has embeddings of width '
          f'{components.prompts.widths}, the transformer reads {widths}')
    if components.point_encoder is not None:
        check(components.point_encoder.config.inner_dim == transformer.inner_dim,
              f'point tokens are {components.point_encoder.config.inner_dim} wide, '
              f'the transformer {transformer.inner_dim}')
    stride = stride_of(components.autoencoder) * transformer.config.patch_size
    largest = transformer.config.pos_embed_max_size * stride
    check(all(n % stride == 0 and n <= largest for n in config['resolution']),
          f'resolution {config["resolution"]} must be multiples of {stride} up to {largest}')
    for name in task_names(config):
        check(name in components.prompts, f'{PROMPTS_FILE} lacks the prompt of the task {name!r}')


def latent_channels(autoencoder) -> int:
    """Channels of what the transformer works on."""
    return 3 if autoencoder is None else autoencoder.config.latent_channels


def task_names(config: Mapping[str, Any]) -> list[str]:
    """Every task of a model, `semantic` spelled out by category."""
    names = []
    for name in config['tasks']:
        family = BY_KIND[name].family if name in BY_KIND else ''
        names += ([f'{name}:{category}' for category in config['categories']]
                  if family == 'category' else [name])
    return names


# Writing a model directory

@contextmanager
def written_beside(output: OutputFolder) -> Iterator[Path]:
    """A fresh directory for a model that takes its place when the block ends well, and is gone when
    it does not. ModelError if there is no room or no leave.
    """
    try:
        with output as beside:
            beside.mkdir()
            yield beside
            os.umask(umask := os.umask(0))
            for file in beside.rglob('*.safetensors'):            # written for their owner alone
                file.chmod(0o666 & ~umask)
    except OutputError as error:
        raise ModelError(str(error)) from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f'{output.name}: cannot be written ({first_line(error)}); nothing was '
                         'left behind') from None


def save_component(component: torch.nn.Module, folder: Path, shard_size: str = '2GB') -> None:
    """A component in diffusers' layout: config.json and safetensors, in shards where large."""
    component.save_pretrained(folder, max_shard_size=shard_size)


def save_description(folder: Path, config: Mapping[str, Any]) -> None:
    """`diception.json`, and the model_index.json by which others recognise the layout."""
    index = {'_class_name': 'DiceptionPipeline',
             'transformer': ['diception_ros.model.transformer', 'DiceptionTransformer'],
             'scheduler': ['diffusers', 'FlowMatchEulerDiscreteScheduler']}
    if config['max_points']:
        index['point_encoder'] = ['diception_ros.model.points', 'PointEncoder']
    if config['space'] == 'latent':
        name = read_json(folder / 'vae' / 'config.json')['_class_name']
        own = name == GuidedAutoencoder.__name__
        index['vae'] = ['diception_ros.model.autoencoder' if own else 'diffusers', name]
    if (folder / 'image_encoder').is_dir():
        index['image_encoder'] = ['diception_ros.model.image_encoder', 'ImageEncoder']
    for name, content in (('model_index.json', index), (CONFIG_FILE, dict(config))):
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (folder / name).write_text(text + '\n', encoding='utf-8')


def save_model(components: Components, folder: str | Path) -> None:
    """Write a whole model directory; the inverse of `load_model`. Nothing half-written stays."""
    with written_beside(OutputFolder(folder, 'diception_ros', option='')) as beside:
        save_component(components.transformer, beside / 'transformer')
        components.scheduler.save_pretrained(beside / 'scheduler')
        if components.point_encoder is not None:
            save_component(components.point_encoder, beside / 'point_encoder')
        if components.autoencoder is not None:
            save_component(components.autoencoder, beside / 'vae')
        if components.image_encoder is not None:
            save_component(components.image_encoder, beside / 'image_encoder')
        components.prompts.save(beside / PROMPTS_FILE)
        save_description(beside, components.config)
