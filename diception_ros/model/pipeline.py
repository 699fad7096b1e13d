# SPDX-License-Identifier: Apache-2.0
"""DiceptionPipeline: one camera picture in, the answers to several tasks out."""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL

from diception_ros.errors import first_line
from diception_ros.model.checkpoints import (
    DTYPES,
    Components,
    ModelError,
    latent_channels,
    load_model,
    stride_of,
    task_names,
)
from diception_ros.model.image_encoder import token_features
from diception_ros.results import Perception
from diception_ros.tasks import TASKS, Conventions, task_named
from diception_ros.tasks.registry import in_reading_order

DECODING = ('auto', 'batch', 'slices', 'tiles')
STAGES = ('preprocess', 'encode', 'sample', 'decode_latents', 'decode_results')


@dataclass(frozen=True)
class Request:
    """One row of a batch: what to paint of which picture, and how carefully."""

    prompt: str                               # key or text in the bank
    points: tuple[tuple[float, float], ...]   # as the model stores them
    steps: int
    guidance: float
    picture: int                              # index of the picture it looks at


class DiceptionPipeline:
    """A generalist diffusion model (SD3's MMDiT with image and point tokens), ready to run.

    Not thread-safe: all calls from one thread.
    """

    def __init__(self, components: Components, device: torch.device, dtype: torch.dtype,
                 compile: bool = False, quantize: str | None = None, decoding: str = 'auto'):
        """Use `from_pretrained` or `from_sd3`."""
        self.config = components.config
        self.transformer = components.transformer
        self.autoencoder = components.autoencoder
        self.image_encoder = components.image_encoder
        self.point_encoder = components.point_encoder
        self.scheduler = components.scheduler
        self.prompts = components.prompts
        self.device, self.dtype = device, dtype
        self.tasks = task_names(self.config)
        self.categories = list(self.config['categories'])
        self.resolution = tuple(self.config['resolution'])       # (width, height)
        self.stride = stride_of(self.autoencoder) * self.transformer.config.patch_size
        try:
            self.conventions = Conventions(**{name: self.config[name] for name in (
                'normal_axes', 'pose_encoding', 'entity_colors')})
            self._tasks = {name: task_named(name, self.conventions, self.categories)
                           for name in self.tasks}
        except ValueError as error:
            raise ModelError(f'diception.json of {self.config.get("name")!r}: {error}') from None
        self._noises: dict[tuple, torch.Tensor] = {}
        self._embeddings: dict[tuple, tuple[torch.Tensor, torch.Tensor]] = {}
        self._set_decoding(decoding)
        if quantize is not None:
            self._quantize(quantize)
        if compile:
            self.transformer.compile()
            if self.autoencoder is not None:
                self.autoencoder.decode = torch.compile(self.autoencoder.decode)

    # Loading

    @classmethod
    def from_pretrained(cls, model: str | Path, device: str = 'cpu', dtype: str = 'auto',
                        compile: bool = False, quantize: str | None = None,
                        decoding: str = 'auto') -> DiceptionPipeline:
        """A model directory, or an embedded model by name ('nano').

        device: 'cpu', 'cuda' or 'cuda:<n>'; never replaced by another. dtype: 'float32',
        'bfloat16', 'float16' or 'auto' (bfloat16 on a GPU, float32 on the CPU). compile:
        torch.compile, slow at the first call of each shape (see `warm_up`). quantize: 'int8' holds
        the transformer's weights in 8 bits (needs torchao). decoding: how the VAE decodes: 'batch'
        all pictures at once, 'slices' one by one, 'tiles' one by one in tiles, each taking less
        memory than the one before; 'auto' is slices for SD3's large VAE and batch for others.
        Raises ModelError, one line with the way out.
        """
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        return cls(load_model(model, device, dtype), device, dtype, compile, quantize, decoding)

    @classmethod
    def from_sd3(cls, sd3: str | Path, diception: str | Path, device: str = 'cpu',
                 dtype: str = 'auto', vae: str | Path | None = None,
                 extra_prompts: Sequence[str] = (), **options) -> DiceptionPipeline:
        """The published weights: SD3 medium's directory (diffusers' layout) and DICEPTION_v1.pth.

        Runs the text encoders once for the bank of prompts; `extra_prompts` adds texts to it.
        `vae`: directory of another autoencoder, for instance an AutoencoderTiny. Everything else as
        in `from_pretrained`. `diception convert` does this work once and for all.
        """
        from diception_ros.model.conversion import read_published
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        components = read_published(sd3, diception, device, dtype, vae, extra_prompts)
        return cls(components, device, dtype, **options)

    # The camera's view

    def __call__(self, image: np.ndarray, tasks: Sequence[str],
                 points: Sequence[tuple[float, float]] = (),
                 num_inference_steps: int | Mapping[str, int] | None = None,
                 guidance_scale: float | Mapping[str, float] | None = None, seed: int = 0,
                 timings: dict[str, float] | None = None,
                 ready: Callable[[str, Perception], None] = lambda name, so_far: None,
                 ) -> Perception:
        """Answer `tasks` about `image`, uint8 RGB (H, W, 3), at its own resolution.

        points: (x, y) in [0, 1], at least one for 'segmentation' and used by nothing else.
        num_inference_steps, guidance_scale: for all tasks, or by task name or kind ('semantic');
        None = the model's defaults. seed: the same noise for every task and every frame.
        timings: receives milliseconds by stage (`STAGES`). ready(name, so_far) is called as soon as
        a task's result is in the perception, those that are read fast first, people last: somebody
        may use it while the others are read. Raises ValueError for what cannot be done.
        """
        # 1. Check the question before any work is done
        image = checked_image(image)
        names = list(dict.fromkeys([tasks] if isinstance(tasks, str) else tasks))
        if not names:
            raise ValueError(f'tasks: none given; choose from {", ".join(self.tasks)}')
        for name in names:
            if name not in self._tasks:
                raise ModelError(f'tasks: the model {self.config.get("name")!r} has no task '
                                 f'{name!r}; it has {", ".join(self.tasks[:20])}')
        for task in TASKS:
            if task.family and not task.collects and sum(
                    name.startswith(f'{task.kind}:') for name in names) > 1:
                raise ValueError(f'tasks: one {task.kind} {task.family} per picture')
        stored = tuple((y, x) if self.config['point_order'] == 'yx' else (x, y)
                       for x, y in self._checked_points(points))
        requests = []
        for name in names:
            task, defaults = self._tasks[name], self.config['tasks'][self._config_key(name)]
            if task.needs_points and not stored:
                raise ValueError(f'points: the task {name!r} needs at least one (x, y) in [0, 1]')
            requests.append(Request(
                task.prompt_key, stored if task.needs_points else (),
                checked_steps(by_task(num_inference_steps, name, defaults['num_inference_steps'])),
                checked_guidance(by_task(guidance_scale, name, defaults['guidance_scale'])), 0))
        clock = Stopwatch(timings, self.device)

        # 2. Squash the picture to the model's resolution: the aspect is not kept, as in training
        squashed = resize(image, self.resolution)                     # uint8 (h, w, 3)
        clock.mark('preprocess')

        # 3. Paint all tasks
        painted = self._paint([squashed], requests, None, seed, clock.mark)   # (N, 3, h, w)

        # 4. Back to the camera's resolution, and from pictures to results
        size = (image.shape[1], image.shape[0])
        perception = Perception()
        painted = painted.permute(0, 2, 3, 1).cpu().numpy()           # (N, h, w, 3)
        for name, picture in zip(names, painted, strict=True):
            perception.pictures[name] = resize(picture, size)         # float32 (H, W, 3)
        for name in in_reading_order(names):
            perception.add(name, self._tasks[name].decode_beside(perception.pictures[name],
                                                                 perception))
            ready(name, perception)
        clock.mark('decode_results')
        clock.stop()
        return perception

    def warm_up(self, tasks: Sequence[str] = (), size: tuple[int, int] | None = None) -> None:
        """Run once on a grey picture of `size` (width, height), so that no frame has to wait for
        compilation, allocation and autotuning; empty `tasks` = every kind of task once."""
        width, height = size or self.resolution
        kinds = {self._config_key(name): name for name in reversed(self.tasks)}
        self(np.full((height, width, 3), 128, np.uint8), list(tasks) or list(kinds.values()),
             points=[(0.5, 0.5)] if self.config['max_points'] else ())

    def memory(self) -> dict[str, int]:
        """Bytes held by each component's weights and tables; `prompts` in the host's memory."""
        held = {name: sum(map(nbytes, (*module.parameters(), *module.buffers())))
                for name, module in (('transformer', self.transformer),
                                     ('point_encoder', self.point_encoder),
                                     ('vae', self.autoencoder),
                                     ('image_encoder', self.image_encoder))
                if module is not None}
        return {**held, 'prompts': self.prompts.nbytes()}

    def close(self) -> None:
        """Let go of the weights, give the device's memory back; the pipeline is then unusable."""
        self.transformer = self.autoencoder = self.point_encoder = self.prompts = None
        self.image_encoder = None
        self._noises.clear()
        self._embeddings.clear()
        if self.device.type == 'cuda':
            torch.cuda.empty_cache()

    # The model's view

    def generate(self, image: np.ndarray | Sequence[np.ndarray], prompts: str | Sequence[str],
                 points: Sequence[Sequence[tuple[float, float]] | None] | None = None,
                 num_inference_steps: int | Sequence[int] = 1,
                 guidance_scale: float | Sequence[float] = 1.0,
                 latents: torch.Tensor | np.ndarray | None = None, seed: int = 0,
                 timings: dict[str, float] | None = None) -> torch.Tensor:
        """One picture per prompt, float32 (N, 3, H, W) in [0, 1], at the image's own size.

        image: uint8 RGB (H, W, 3) with sides that are multiples of `stride`, or a list of such of
        one size: one for all prompts, or one per prompt. prompts: keys or texts of the bank.
        points: per prompt a list of pairs in [0, 1] exactly as the model stores them in its slots,
        or None; of a single prompt its pairs alone will do. num_inference_steps, guidance_scale:
        for all, or per prompt; guidance applies where it is over 1. latents: the initial noise,
        (N, C, H / s, W / s), or (1, C, ...) for the same in every row; by default drawn from `seed`
        on the CPU, or zeros if the model is trained so. timings: as in a call of the pipeline.
        """
        images = [checked_image(one) for one in (
            [image] if isinstance(image, np.ndarray) else image)]
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        rows = len(prompts)
        if not images or not prompts:
            raise ValueError('image, prompts: at least one of each')
        if len(images) not in (1, rows):
            raise ValueError(f'image: {len(images)} pictures for {rows} prompts; give 1 or {rows}')
        height, width = images[0].shape[:2]
        if any(one.shape != images[0].shape for one in images):
            raise ValueError('image: all pictures of a call must have one size')
        largest = self.transformer.config.pos_embed_max_size * self.stride
        if height % self.stride or width % self.stride or max(height, width) > largest:
            raise ValueError(f'image: {width}x{height} pixels; sides must be multiples of '
                             f'{self.stride} up to {largest}')
        points = [None] * rows if points is None else list(points)
        if rows == 1 and points and points[0] is not None and len(points[0]) == 2 and all(
                isinstance(number, Real) for number in points[0]):
            points = [points]                                     # the pairs of the one prompt
        if len(points) != rows:
            raise ValueError(f'points: {len(points)} lists for {rows} prompts; give one per prompt')
        steps = per_row(num_inference_steps, rows, 'num_inference_steps')
        guidance = per_row(guidance_scale, rows, 'guidance_scale')
        requests = [Request(prompt, self._checked_points(given), checked_steps(n),
                            checked_guidance(g), row if len(images) > 1 else 0)
                    for row, (prompt, given, n, g) in enumerate(
                        zip(prompts, points, steps, guidance, strict=True))]
        if latents is not None:
            expected = (latent_channels(self.autoencoder),
                        *(n // stride_of(self.autoencoder) for n in (height, width)))
            latents = torch.as_tensor(latents, dtype=torch.float32)
            if latents.ndim != 4 or latents.shape[1:] != expected or len(latents) not in (1, rows):
                raise ValueError(f'latents: shape {tuple(latents.shape)}; expected '
                                 f'{(rows, *expected)}')
        clock = Stopwatch(timings, self.device)
        pictures = self._paint(images, requests, latents, seed, clock.mark).cpu()
        clock.stop()
        return pictures

    @torch.inference_mode()
    def _paint(self, images: Sequence[np.ndarray], requests: Sequence[Request],
               latents: torch.Tensor | None, seed: int,
               mark: Callable[[str], None]) -> torch.Tensor:
        """The story of one inference; float32 (N, 3, H, W) in [0, 1] on the device."""
        # 1. Pictures to [-1, 1]
        pixels = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)
        pixels = (pixels.float() / 127.5 - 1).to(self.dtype)          # (I, 3, H, W)

        # 2. Every picture to latents, once, however many tasks look at it
        image_features = self.image_encoder(pixels) if self.image_encoder is not None else None
        image_latents, features = self._encode(pixels, image_features)   # (I, C, h, w)
        mark('encode')

        # 3. The same initial noise for all tasks of all frames: what flickers is not the noise
        if latents is None:
            latents = self._initial_noise(image_latents.shape[1:], seed)
        latents = latents.to(self.device).expand(len(requests), -1, -1, -1)   # (N, C, h, w)

        # 4. Sample: rows with the same number of steps share a batch
        cache = None
        if self.transformer.config.image_tokens == 'once':
            cache = self.transformer.encode_image(
                image_latents, image_features and token_features(image_features))
        sampled = torch.empty_like(latents)
        for steps in sorted({request.steps for request in requests}):
            rows = [row for row, request in enumerate(requests) if request.steps == steps]
            sampled[rows] = self._sample([requests[row] for row in rows], latents[rows], steps,
                                         image_latents, cache)
        mark('sample')

        # 5. Latents to pictures in [0, 1]
        pictures = self._decode(sampled, features, [r.picture for r in requests])
        pictures = (pictures.float() / 2 + 0.5).clamp(0, 1)           # (N, 3, H, W)
        mark('decode_latents')
        return pictures

    def _sample(self, requests: Sequence[Request], latents: torch.Tensor, steps: int,
                image_latents: torch.Tensor, cache) -> torch.Tensor:
        """Flow matching from noise to target latents, float32 (R, C, h, w)."""
        # 1. Classifier-free guidance doubles the rows that ask for it and no others: their second
        #    row has the empty prompt and point tokens of zeros, and sees the picture all the same
        guided = [row for row, request in enumerate(requests) if request.guidance > 1]
        order = [*range(len(requests)), *guided]                      # row of each batch entry
        prompts = [request.prompt for request in requests] + [''] * len(guided)
        embeds, pooled = self._prompt_embeddings(tuple(prompts))      # (B, T, D), (B, P)
        tokens = self._point_tokens([request.points for request in requests])   # (R, points, W)
        if tokens is not None:
            tokens = torch.cat([tokens, torch.zeros_like(tokens[guided])])      # (B, points, W)
        scale = torch.tensor([requests[row].guidance for row in guided],
                             device=self.device).view(-1, 1, 1, 1)
        pictures = torch.tensor([requests[row].picture for row in order], device=self.device)

        # 2. Denoise
        self.scheduler.set_timesteps(steps, device=self.device)
        self.scheduler.set_begin_index(0)                         # or it searches, and a GPU waits
        for timestep in self.scheduler.timesteps:
            velocity = self._velocity(latents[order], image_latents, pictures, embeds, pooled,
                                      tokens, timestep, cache)        # float32 (B, C, h, w)
            velocity, unconditional = velocity[:len(requests)], velocity[len(requests):]
            if guided:
                velocity[guided] = unconditional + scale * (velocity[guided] - unconditional)
            latents = self.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        return latents

    def _velocity(self, latents: torch.Tensor, image_latents: torch.Tensor, pictures: torch.Tensor,
                  embeds: torch.Tensor, pooled: torch.Tensor, tokens: torch.Tensor | None,
                  timestep: torch.Tensor, cache) -> torch.Tensor:
        """The one place that calls the transformer; `pictures` (B,) is what each row looks at."""
        velocity = self.transformer(
            latents.to(self.dtype), image_latents[pictures] if cache is None else None, embeds,
            pooled, tokens, timestep.expand(len(latents)), image_cache=cache,
            image_index=None if cache is None else pictures)
        return velocity.float()

    def _encode(self, pixels: torch.Tensor, image_features: list[torch.Tensor] | None
                ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(I, 3, H, W) in [-1, 1] -> latents (I, C, h, w), features if the decoder wants any."""
        features: list[torch.Tensor] = []
        if self.autoencoder is None:
            return pixels, features
        encoded = (self.autoencoder.encode(pixels) if image_features is None
                   else self.autoencoder.encode(pixels, image_features))
        if hasattr(encoded, 'latent_dist'):                           # AutoencoderKL: its mode, so
            latents = encoded.latent_dist.mode()                      # that equal frames stay equal
        elif hasattr(encoded, 'latents'):                             # AutoencoderTiny
            latents = encoded.latents
        else:                                                         # GuidedAutoencoder
            latents, features = encoded
        scale, shift = self._latent_scale()
        return (latents - shift) * scale, features

    def _decode(self, latents: torch.Tensor, features: list[torch.Tensor],
                pictures: list[int]) -> torch.Tensor:
        """Latents (N, C, h, w) -> (N, 3, H, W) around [-1, 1]."""
        if self.autoencoder is None:
            return latents
        scale, shift = self._latent_scale()
        latents = (latents / scale + shift).to(self.dtype)
        if features:
            return self.autoencoder.decode(latents, [level[pictures] for level in features])
        if self._tiles:                                           # not for encoding: its one
            self.autoencoder.enable_tiling()                      # picture decides all answers
        try:
            return self.autoencoder.decode(latents, return_dict=False)[0]
        finally:
            if self._tiles:
                self.autoencoder.disable_tiling()

    def _latent_scale(self) -> tuple[float, float]:
        config = self.autoencoder.config
        return config.scaling_factor, getattr(config, 'shift_factor', None) or 0.0

    def _prompt_embeddings(self, prompts: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) and (B, P) on the device, where only the batches last used are kept: the
        whole bank of the published model would take a quarter of a gigabyte there."""
        if prompts not in self._embeddings:
            found = self.prompts.lookup(prompts)
            if len(self._embeddings) >= 4:
                self._embeddings.pop(next(iter(self._embeddings)))
            self._embeddings[prompts] = tuple(t.to(self.device, self.dtype) for t in found)
        return self._embeddings[prompts]

    def _point_tokens(self, points: Sequence[Sequence[tuple[float, float]]]) -> torch.Tensor | None:
        """Per row its points -> (R, max_points, inner_dim); empty slots hold (0, 0)."""
        if self.point_encoder is None:
            return None
        slots = torch.zeros(len(points), self.config['max_points'], 2)
        given = torch.zeros(slots.shape[:2], dtype=torch.bool)
        for row, pairs in enumerate(points):
            if pairs:
                slots[row, :len(pairs)] = torch.tensor(pairs)
                given[row, :len(pairs)] = True
        return self.point_encoder(slots.to(self.device), given.to(self.device))

    def _initial_noise(self, shape: Sequence[int], seed: int) -> torch.Tensor:
        """(1, C, h, w) on the device; drawn on the CPU, so that it is the same on every device."""
        if self.config['initial_noise'] == 'zeros':
            return torch.zeros(1, *shape, device=self.device)
        key = (seed, *shape)
        if key not in self._noises:
            self._noises.clear()
            generator = torch.Generator().manual_seed(seed)
            self._noises[key] = torch.randn(1, *shape, generator=generator).to(self.device)
        return self._noises[key]

    def _checked_points(self, points) -> tuple[tuple[float, float], ...]:
        """Pairs of finite numbers in [0, 1], not more than the model has slots."""
        try:
            pairs = tuple((float(a), float(b)) for a, b in (() if points is None else points))
        except (TypeError, ValueError):
            raise ValueError('points: expected pairs of numbers in [0, 1]') from None
        if any(not 0 <= value <= 1 for pair in pairs for value in pair):
            raise ValueError(f'points: {pairs} are not all in [0, 1]')
        if len(pairs) > self.config['max_points']:
            raise ValueError(f'points: {len(pairs)} given, the model {self.config.get("name")!r} '
                             f'takes at most {self.config["max_points"]}')
        return pairs

    def _config_key(self, name: str) -> str:
        """The entry of diception.json's tasks that a task belongs to."""
        return name if name in self.config['tasks'] else name.partition(':')[0]

    def _set_decoding(self, decoding: str) -> None:
        if decoding not in DECODING:
            raise ModelError(f'decoding: {decoding!r}; use one of {", ".join(DECODING)}')
        self._tiles = decoding == 'tiles' and self.autoencoder is not None
        if decoding == 'auto':                                    # six 768x768 pictures at once
            large = isinstance(self.autoencoder, AutoencoderKL)   # would take 5 GB
            decoding = 'slices' if large else 'batch'
        if decoding == 'batch' or self.autoencoder is None:
            return
        if not hasattr(self.autoencoder, 'enable_slicing') or (
                self._tiles and not isinstance(self.autoencoder, AutoencoderKL)):
            raise ModelError(f'decoding: {type(self.autoencoder).__name__} cannot decode in '
                             f"{decoding}; use 'batch'")
        self.autoencoder.enable_slicing()
        if self._tiles:                                           # of half the picture's side
            stride = stride_of(self.autoencoder)
            latent = -(-max(self.resolution) // stride // 2)
            self.autoencoder.tile_latent_min_size = latent
            self.autoencoder.tile_sample_min_size = latent * stride

    def _quantize(self, quantize: str) -> None:
        """Weight-only quantisation of the transformer's matrices."""
        if quantize != 'int8':
            raise ModelError(f"quantize: {quantize!r}; use 'int8' or nothing")
        try:
            from torchao.quantization import Int8WeightOnlyConfig, quantize_
        except ImportError:
            raise ModelError('quantize: int8 needs torchao, which is not installed; '
                             '`pip install torchao`, or leave quantize out') from None
        quantize_(self.transformer, Int8WeightOnlyConfig())


def nbytes(tensor: torch.Tensor) -> int:
    """Bytes that a tensor holds; a quantised one says those of what it stands for."""
    if not hasattr(tensor, '__tensor_flatten__'):
        return tensor.nbytes
    return sum(nbytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])


def resolve_device(device: str | torch.device) -> torch.device:
    """The device asked for and no other; ModelError if it is not there."""
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"device: {device!r} is not a device ({first_line(error)}); use 'cpu' or "
                         "'cuda'") from None
    if resolved.type not in ('cpu', 'cuda'):
        raise ModelError(f"device: {device!r} is not supported; use 'cpu' or 'cuda'")
    if resolved.type == 'cuda':
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= count:
            raise ModelError(f"device: {str(resolved)!r} asked for, but torch {torch.__version__} "
                             f"sees {count} CUDA devices; check `diception doctor`, or use 'cpu'")
    return resolved


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype by name; 'auto' = bfloat16 on a GPU, float32 on the CPU."""
    if dtype == 'auto':
        return torch.bfloat16 if device.type == 'cuda' else torch.float32
    resolved = DTYPES.get(str(dtype).removeprefix('torch.'))
    if resolved is None:
        raise ModelError(f"dtype: {str(dtype)!r}; use 'auto' or one of {', '.join(DTYPES)}")
    return resolved


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`picture` (h, w, 3) at `size` (width, height): averaged where it shrinks, linear where it
    grows, each direction for itself."""
    height, width = picture.shape[:2]
    smaller = (min(size[0], width), min(size[1], height))
    if smaller != (width, height):
        picture = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
    if smaller != tuple(size):
        picture = cv2.resize(picture, tuple(size), interpolation=cv2.INTER_LINEAR)
    return picture


def checked_image(image: Any) -> np.ndarray:
    """The image if it is uint8 RGB (H, W, 3) and not empty; ValueError otherwise."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise ValueError(f'image: expected a uint8 array, not '
                         f'{getattr(image, "dtype", type(image).__name__)}')
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f'image: expected RGB of shape (H, W, 3), not {image.shape}')
    return image


def by_task(setting, name: str, default):
    """What a setting says about a task: a value for all, or a mapping by task name or kind."""
    if isinstance(setting, Mapping):
        kind = name.partition(':')[0]
        setting = setting.get(name, setting.get(kind))
    return default if setting is None else setting


def per_row(setting, rows: int, name: str) -> list:
    """A setting for all rows, or one per row, as a list of one per row."""
    if not isinstance(setting, (list, tuple)):
        return [setting] * rows
    if len(setting) != rows:
        raise ValueError(f'{name}: {len(setting)} values for {rows} prompts')
    return list(setting)


def checked_steps(steps) -> int:
    """A whole number of steps in 1..1000."""
    if isinstance(steps, bool) or not isinstance(steps, Integral) or not 1 <= steps <= 1000:
        raise ValueError(f'num_inference_steps: {steps!r}; expected a whole number in 1..1000')
    return int(steps)


def checked_guidance(scale) -> float:
    """A finite, non-negative guidance scale; up to 1 it means none."""
    if isinstance(scale, bool) or not isinstance(scale, Real) or not 0 <= scale < math.inf:
        raise ValueError(f'guidance_scale: {scale!r}; expected a number of at least 0')
    return float(scale)


class Stopwatch:
    """Books the time between marks to stages, in milliseconds; does nothing without `timings`.

    On a GPU by CUDA events: what a stage queues is booked to it, and nothing has to wait.
    """

    def __init__(self, timings: dict[str, float] | None, device: torch.device):
        """`timings` is emptied now and filled by `stop`."""
        self.timings, self.device = timings, device
        self.stages: list[str] = []
        self.moments = [] if timings is None else [self._now()]

    def mark(self, stage: str) -> None:
        """What happened since the last mark was `stage`."""
        if self.timings is not None:
            self.stages.append(stage)
            self.moments.append(self._now())

    def stop(self) -> None:
        """Fill `timings`."""
        if self.timings is None:
            return
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        self.timings.clear()
        for stage, begin, end in zip(self.stages, self.moments, self.moments[1:], strict=False):
            spent = (begin.elapsed_time(end) if self.device.type == 'cuda'
                     else 1000 * (end - begin))
            self.timings[stage] = self.timings.get(stage, 0.0) + spent

    def _now(self):
        if self.device.type != 'cuda':
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event
