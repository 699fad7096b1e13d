# SPDX-License-Identifier: Apache-2.0
"""The published weights, SD3 medium and DICEPTION_v1.pth, -> a model or a model directory.

The pickle is the only one this package ever reads, with `weights_only=True`: a file that holds more
than tensors is refused unread. Every key and shape is checked; the published code's `strict=False`
hides mismatches. Components are handled one at a time, so that memory need only hold the largest.
"""
from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import StableDiffusion3Pipeline

from diception_ros.errors import first_line
from diception_ros.model.checkpoints import (
    AUTOENCODERS,
    PROMPTS_FILE,
    Components,
    ModelError,
    build,
    check_fit,
    check_state,
    fill,
    kept_dtype,
    load_autoencoder,
    load_scheduler,
    read_json,
    save_component,
    save_description,
    stride_of,
    written_beside,
)
from diception_ros.model.points import PointEncoder
from diception_ros.model.prompts import (
    COCO_CATEGORIES,
    PromptBank,
    joined_embeddings,
    published_prompts,
)
from diception_ros.model.transformer import DiceptionTransformer
from diception_ros.output_folder import OutputFolder
from diception_ros.tasks import TASKS

RESOLUTION = 768
LICENCE = ('DICEPTION weights: BSD-2-Clause for academic use, commercial use by contact with their '
           'authors; Stable Diffusion 3 medium: Stability AI Community License')
PICKLE_KEYS = {'transformer', 'point_embedder', 'not_seg_embeddings', 'seg_embeddings',
               'positional_encoding_gaussian_matrix'}
# SD3's text encoders, and the tokens that each reads of a prompt.
TEXT_ENCODERS = (('text_encoder', 'tokenizer', 'CLIPTextModelWithProjection', 'CLIPTokenizer'),
                 ('text_encoder_2', 'tokenizer_2', 'CLIPTextModelWithProjection', 'CLIPTokenizer'),
                 ('text_encoder_3', 'tokenizer_3', 'T5EncoderModel', 'T5TokenizerFast'))
TOKENS = 77 + 256


@dataclass
class Part:
    """A component in a converted directory: how many tensors and parameters, bytes on disk."""

    tensors: int
    parameters: int
    nbytes: int


def read_published(sd3: str | Path, diception: str | Path, device: torch.device,
                   dtype: torch.dtype, vae: str | Path | None = None,
                   extra_prompts: Sequence[str] = ()) -> Components:
    """All components of the published model on `device`, straight from its files."""
    source = Published(sd3, diception, vae, extra_prompts)
    prompts = source.prompts(dtype, device).to('cpu', dtype)
    components = Components(
        source.config, source.transformer(dtype, device), source.scheduler, prompts,
        source.point_encoder(dtype, device), load_autoencoder(source.vae, dtype, device))
    check_fit(components, source.sd3)
    return components


def convert_published(sd3: str | Path, diception: str | Path, out: str | Path,
                      dtype: torch.dtype = torch.bfloat16, vae: str | Path | None = None,
                      extra_prompts: Sequence[str] = (), device: torch.device | str = 'cpu',
                      shard_size: str = '2GB',
                      report: Callable[[str, float], None] = lambda what, done: None,
                      overwrite: bool = False) -> dict[str, Part]:
    """Write the published model as a model directory `out`; {component: what it holds}.

    sd3: Stable Diffusion 3 medium in diffusers' layout. diception: the file DICEPTION_v1.pth. vae:
    directory of another autoencoder with the same latents. extra_prompts: texts beside the six
    tasks, COCO's categories and the empty prompt. device: where the text encoders run. report: told
    what is being done, and how much of everything is done, 0..1. overwrite: whether a model of our
    making may be replaced. Raises ModelError or OutputError, one line; nothing half-written
    stays.
    """
    inputs = [sd3, diception, *([] if vae is None else [vae])]
    output = OutputFolder(out, 'diception convert', inputs=inputs, overwrite=overwrite)
    output.check()
    source = Published(sd3, diception, vae, extra_prompts)
    output.needed = source.size_on_disk(dtype)
    parts: dict[str, Part] = {}
    with written_beside(output) as beside:
        for name, share, read in (
                ('vae', 0.0, lambda: load_autoencoder(source.vae, dtype)),
                ('point_encoder', 0.02, lambda: source.point_encoder(dtype)),
                ('transformer', 0.04, lambda: source.transformer(dtype))):
            report(name, share)
            component = read()                                    # one at a time in memory
            save_component(component, beside / name, shard_size)
            tensors = list(component.state_dict().values())
            parts[name] = Part(len(tensors), sum(t.numel() for t in tensors), sum(
                file.stat().st_size for file in (beside / name).glob('*.safetensors')))
            del component, tensors
        prompts = source.prompts(dtype, device, lambda what, done: report(what, 0.2 + 0.8 * done))
        prompts = prompts.to('cpu', dtype)
        prompts.save(beside / PROMPTS_FILE)
        embeds, pooled = prompts.lookup(prompts.keys)
        parts['prompts'] = Part(2 * len(embeds), embeds.numel() + pooled.numel(),
                                (beside / PROMPTS_FILE).stat().st_size)
        source.scheduler.save_pretrained(beside / 'scheduler')
        save_description(beside, source.config)
    report('done', 1.0)
    return parts


class Published:
    """The published files: everything about them is checked before the first weight is read."""

    def __init__(self, sd3: str | Path, diception: str | Path, vae: str | Path | None = None,
                 extra_prompts: Sequence[str] = ()):
        """sd3, vae: directories in diffusers' layout; diception: the pickle."""
        self.sd3, self.pickle = Path(sd3).expanduser(), Path(diception).expanduser()
        check_sd3(self.sd3)
        self.vae = self.sd3 / 'vae' if vae is None else Path(vae).expanduser()
        self.scheduler = load_scheduler(self.sd3 / 'scheduler')
        self._autoencoder = self._meta_autoencoder()
        self._transformer = build(DiceptionTransformer, self.sd3 / 'transformer')
        inner = self._transformer.inner_dim
        state = read_pickle(self.pickle)
        self._transformer_state = state['transformer']
        check_state(self._transformer, self._transformer_state, f'{self.pickle} (transformer)')
        self._point_state = point_state(state)
        shapes = {name: tensor.shape for name, tensor in self._point_state.items()}
        try:
            frequencies = shapes['positional_encoding_gaussian_matrix'][1]
            hidden = shapes['mlp.0.weight'][0]
        except (KeyError, IndexError):
            frequencies, hidden = 1024, 2048                      # check_state says what is wrong
        with torch.device('meta'):
            self._points = PointEncoder(inner, frequencies, hidden)
        check_state(self._points, self._point_state, f'{self.pickle} (points)')
        self.texts = published_prompts(extra=extra_prompts)
        self.config = self._config()

    def transformer(self, dtype: torch.dtype, device='cpu') -> DiceptionTransformer:
        """SD3's transformer with DICEPTION's weights; SD3's own are not needed."""
        model = build(DiceptionTransformer, self.sd3 / 'transformer')
        return self._filled(model, self._transformer_state, dtype, device)

    def point_encoder(self, dtype: torch.dtype, device='cpu') -> PointEncoder:
        """The point encoder, its Fourier matrix in float32 whatever the dtype."""
        with torch.device('meta'):
            model = PointEncoder(**dict(self._points.config))
        return self._filled(model, self._point_state, dtype, device)

    def prompts(self, dtype: torch.dtype, device: torch.device | str = 'cpu',
                report: Callable[[str, float], None] = lambda what, done: None) -> PromptBank:
        """The bank of all texts, computed with one text encoder in memory at a time.

        The CLIP encoders run in float32; T5 as well if that is `dtype`, else in bfloat16, as half
        of its 19 GB have to do and float16 overflows in it.
        """
        said = []
        for index, (encoder, _, _, _) in enumerate(TEXT_ENCODERS):
            last = index == len(TEXT_ENCODERS) - 1
            precision = torch.bfloat16 if last and dtype != torch.float32 else torch.float32
            report(encoder, 0.0 if index == 0 else 0.1 * index)
            said.append([])
            for done, embeds in enumerate(self._encoded(index, precision, device)):
                said[-1].append(embeds)
                begin, share = (0.2, 0.8) if last else (0.1 * index, 0.1)
                report(encoder, begin + share * (done + 1) / len(self.texts))
        embeds = {}
        for key, (l_tokens, l_pooled), (g_tokens, g_pooled), (t5_tokens, _) in zip(
                self.texts, *said, strict=True):
            embeds[key] = (joined_embeddings(l_tokens, g_tokens, t5_tokens),
                           torch.cat([l_pooled, g_pooled]))
        return PromptBank(embeds, self.texts)

    @torch.inference_mode()
    def _encoded(self, index: int, dtype: torch.dtype, device,
                 ) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Per text what one encoder says, on the CPU: tokens (T, D), pooled (P,) or None."""
        name, tokenizer_name, model_class, tokenizer_class = TEXT_ENCODERS[index]
        encoder = load_text_encoder(self.sd3 / name, getattr(transformers, model_class), dtype)
        try:
            tokenizer = getattr(transformers, tokenizer_class).from_pretrained(
                self.sd3 / tokenizer_name, local_files_only=True)
        except Exception as error:                                # whatever a damaged file causes
            raise ModelError(f'{self.sd3 / tokenizer_name}: no {tokenizer_class} '
                             f'({first_line(error)}); copy it again') from None
        encoder = encoder.to(device)
        clip = index < 2
        # A pipeline of this one encoder: CLIP-G stands in CLIP-L's place, where it is asked alike.
        pipe = StableDiffusion3Pipeline(
            transformer=None, scheduler=None, vae=None, text_encoder_2=None, tokenizer_2=None,
            text_encoder=encoder if clip else None, tokenizer=tokenizer if clip else None,
            text_encoder_3=None if clip else encoder, tokenizer_3=None if clip else tokenizer)
        for text in self.texts.values():
            if clip:
                tokens, pooled = pipe._get_clip_prompt_embeds([text], device=device)
                yield tokens[0].float().cpu(), pooled[0].float().cpu()
            else:
                tokens = pipe._get_t5_prompt_embeds([text], max_sequence_length=256,
                                                    device=device, dtype=dtype)
                yield tokens[0].float().cpu(), None

    def size_on_disk(self, dtype: torch.dtype) -> int:
        """Bytes that the model directory will take, headers and small files included."""
        config = self._transformer.config
        prompt = TOKENS * config.joint_attention_dim + config.pooled_projection_dim
        numbers = len(self.texts) * prompt + sum(
            tensor.numel() for model in (self._transformer, self._points, self._autoencoder)
            for tensor in model.state_dict().values())
        return numbers * dtype.itemsize + 2 ** 20

    def _meta_autoencoder(self) -> torch.nn.Module:
        """The autoencoder without weights; ModelError if its latents are not the transformer's."""
        file = self.vae / 'config.json'
        name = read_json(file).get('_class_name')
        if name not in AUTOENCODERS:
            raise ModelError(f'{file}: {name!r} is not an autoencoder of {sorted(AUTOENCODERS)}')
        model = build(AUTOENCODERS[name], self.vae)
        channels = read_json(self.sd3 / 'transformer' / 'config.json').get('in_channels', 16)
        if model.config.latent_channels != channels:
            raise ModelError(f'{file}: latents of {model.config.latent_channels} channels, SD3 has '
                             f'{channels}; give an autoencoder made for SD3')
        return model

    def _config(self) -> dict[str, Any]:
        """`diception.json` of the published model."""
        stride = stride_of(self._autoencoder) * self._transformer.config.patch_size
        side = min(RESOLUTION, self._transformer.config.pos_embed_max_size * stride)
        semantic = [key.partition(':')[2] for key in self.texts if key.startswith('semantic:')]
        return {
            'format': 1, 'name': 'diception', 'licence': LICENCE, 'resolution': [side, side],
            'space': 'latent', 'initial_noise': 'gaussian',
            'tasks': {task.kind: {'num_inference_steps': task.published.num_inference_steps,
                                  'guidance_scale': task.published.guidance_scale}
                      for task in TASKS if task.published},
            'categories': list(dict.fromkeys([*COCO_CATEGORIES, *semantic])),
            'normal_axes': ['left', 'up', 'back'], 'pose_encoding': 'discs',
            'entity_colors': 'random', 'semantic_painting': 'auto', 'point_order': 'yx',
            'resample': 'lanczos',                                # as the published script does
            'max_points': self._points.config.max_points, 'prompts': self.texts}

    def _filled(self, model: torch.nn.Module, state: Mapping[str, torch.Tensor],
                dtype: torch.dtype, device) -> torch.nn.Module:
        cast = {}
        for name, tensor in state.items():
            cast[name] = tensor.to(device, kept_dtype(name, dtype))
            if not torch.isfinite(cast[name]).all():
                raise ModelError(f'{self.pickle}: {name} is not finite in {dtype}; the file is '
                                 'damaged, or the dtype too narrow for it')
        return fill(model, cast, self.pickle)


def check_sd3(folder: Path) -> None:
    """Is `folder` Stable Diffusion 3 medium in diffusers' layout? ModelError says what it is."""
    layout = "SD3 medium in diffusers' layout (stabilityai/stable-diffusion-3-medium-diffusers)"
    if not folder.exists():
        raise ModelError(f'sd3: {folder} does not exist; give the directory of {layout}')
    if not folder.is_dir() or not (folder / 'model_index.json').is_file():
        raise ModelError(f'sd3: {folder} is no directory with a model_index.json; give {layout}')
    pipeline = str(read_json(folder / 'model_index.json').get('_class_name'))
    if pipeline != 'StableDiffusion3Pipeline':
        known = 'SDXL, ' if 'XL' in pipeline else ''
        raise ModelError(f'sd3: {folder} is {known}a {pipeline}; DICEPTION is made of {layout}')
    for name in ('transformer', 'vae', 'scheduler', *(e for e, *_ in TEXT_ENCODERS),
                 *(t for _, t, *_ in TEXT_ENCODERS)):
        if not (folder / name).is_dir():
            raise ModelError(f'sd3: {folder / name} is missing; download {layout} completely')
    config = read_json(folder / 'transformer' / 'config.json')
    if config.get('qk_norm') or config.get('dual_attention_layers'):
        raise ModelError(f'sd3: {folder} is Stable Diffusion 3.5; DICEPTION is made of {layout}')


def read_pickle(file: Path) -> dict[str, Any]:
    """The content of DICEPTION_v1.pth, left on disk where torch can map it; nothing is run."""
    if not file.is_file():
        raise ModelError(f'diception: {file} is not a file; give the path of DICEPTION_v1.pth')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')                       # advice on what will be refused
            state = torch.load(file, map_location='cpu', weights_only=True,
                               mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError:
        raise ModelError(f'diception: {file} is no checkpoint of tensors alone (it is damaged, or '
                         'a pickle that would run code); refused') from None
    except Exception as error:                                    # zip, memory map, storage sizes
        raise ModelError(f'diception: {file} is damaged or truncated ({first_line(error)}); '
                         'download it again') from None
    if not isinstance(state, dict) or not PICKLE_KEYS & state.keys():
        raise ModelError(f'diception: {file} is no DICEPTION checkpoint: none of its keys '
                         f'{sorted(PICKLE_KEYS)}')
    missing, unexpected = PICKLE_KEYS - state.keys(), state.keys() - PICKLE_KEYS
    if missing or unexpected:
        raise ModelError(f'diception: {file}: keys missing {sorted(missing)}, unexpected '
                         f'{sorted(map(str, unexpected))[:5]}')
    for key in ('transformer', 'point_embedder'):
        if not isinstance(state[key], Mapping) or not all(
                isinstance(tensor, torch.Tensor) for tensor in state[key].values()):
            raise ModelError(f'diception: {file}: {key!r} is not a dictionary of tensors')
    return state


def point_state(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The pickle's point entries under the names of PointEncoder."""
    named = {f'mlp.{name}': tensor for name, tensor in state['point_embedder'].items()}
    for key in ('seg_embeddings', 'not_seg_embeddings'):
        entries = state[key] if isinstance(state[key], Mapping) else {'weight': state[key]}
        named |= {f'{key}.{name}': tensor for name, tensor in entries.items()}
    name = 'positional_encoding_gaussian_matrix'
    matrix = state[name]
    named |= ({f'{name}.{k}': v for k, v in matrix.items()} if isinstance(matrix, Mapping)
              else {name: matrix})
    return named


def load_text_encoder(folder: Path, model_class: type, dtype: torch.dtype) -> torch.nn.Module:
    """A text encoder of SD3 with all of its weights; a download of fp16 files alone will do."""
    files = [file.name for file in folder.glob('model*.safetensors')]
    only_half = all(name.startswith('model.fp16') for name in files)
    if not files:
        raise ModelError(f'{folder}: holds no model*.safetensors; copy it again')
    transformers.logging.disable_progress_bar()
    try:
        model, info = model_class.from_pretrained(
            folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True,
            variant='fp16' if only_half else None, output_loading_info=True)
    except Exception as error:                                    # whatever a damaged file causes
        raise ModelError(f'{folder}: no {model_class.__name__} ({first_line(error)}); copy it '
                         'again') from None
    lacking = sorted(info['missing_keys']) + sorted(map(str, info['mismatched_keys']))
    if lacking:
        raise ModelError(f'{folder}: does not fit {model_class.__name__}: missing or of wrong '
                         f'shape {", ".join(lacking[:3])}')
    return model.eval()
