# SPDX-License-Identifier: Apache-2.0
"""DiceptionPipeline: one camera picture in, the answers to several tasks out."""
from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from diception_ros.errors import first_line
from diception_ros.model.checkpoints import (
    DTYPES,
    OPTIONAL,
    Components,
    ModelError,
    latent_channels,
    load_model,
    stride_of,
    task_names,
)
from diception_ros.model.image_encoder import token_features
from diception_ros.model.transformer import ImageCache
from diception_ros.results import Perception
from diception_ros.tasks import TASKS, Conventions, task_named
from diception_ros.tasks.registry import in_reading_order

DECODING = ('auto', 'batch', 'slices', 'tiles')
# Bytes of prompt batches that stay on the device. At the published model's defaults a batch of all
# six tasks takes 27 MB; five batches of different steps, with and without a click, take 150.
MAX_PROMPT_BYTES = 192 * 2**20
STAGES = ('preprocess', 'encode', 'sample', 'decode_latents', 'decode_results')


@dataclass(frozen=True)
class Request:
    """One row of a batch: what to paint of which picture, and how carefully."""

    prompt: str                               # key or text in the bank
    points: tuple[tuple[float, float], ...]   # as the model stores them
    steps: int
    guidance: float
    picture: int                              # index of the picture it looks at

    @property
    def guided(self) -> bool:
        """Whether guidance doubles its work."""
        return self.guidance > 1

    @property
    def passes(self) -> int:
        """How many times the transformer sees it."""
        return self.steps * (2 if self.guided else 1)


@dataclass(frozen=True)
class EncodedImages:
    """What is computed once per image, however many tasks look at it; on the device."""

    latents: torch.Tensor                     # (I, C, h, w), in the model's dtype
    features: list[torch.Tensor]              # for the decoder; empty if it wants none
    cache: ImageCache | None                  # keys and values; None = image tokens are 'joint'


class DiceptionPipeline:
    """A generalist diffusion model (SD3's MMDiT with image and point tokens), ready to run.

    Not thread-safe: all calls from one thread.
    """

    def __init__(self, components: Components, device: torch.device, dtype: torch.dtype,
                 compile: bool = False, quantize: str | None = None, decoding: str = 'auto'):
        """Use `from_pretrained` or `from_sd3`."""
        self.config = {**OPTIONAL, **components.config}
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
                'normal_axes', 'pose_encoding', 'entity_colors', 'semantic_painting')})
            self._tasks = {name: task_named(name, self.conventions, self.categories)
                           for name in self.tasks}
        except ValueError as error:
            raise ModelError(f'diception.json of {self.config.get("name")!r}: {error}') from None
        self._noises: dict[tuple, torch.Tensor] = {}
        # Batches of prompts, the one last used at the end
        self._embeddings: OrderedDict[tuple, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self._compiled = compile
        if isinstance(self.autoencoder, AutoencoderKL):
            # Its convolutions take 10 % less time so on a CPU; on a GPU it is what tensor cores
            # read. Smaller autoencoders gain nothing.
            self.autoencoder.to(memory_format=torch.channels_last)
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
                        decoding: str = 'auto',
                        report: Callable[[str, float], None] = lambda what, done: None,
                        ) -> DiceptionPipeline:
        """A model directory, or an embedded model by name ('nano').

        device: 'cpu', 'cuda' or 'cuda:<n>'; never replaced by another. dtype: 'float32',
        'bfloat16', 'float16' or 'auto' (bfloat16 on a GPU, float32 on the CPU). compile:
        torch.compile, slow at the first call of each shape (see `warm_up`). quantize: 'int8' holds
        the transformer's weights in 8 bits (needs torchao). decoding: how the VAE decodes: 'batch'
        all pictures at once, 'slices' one by one, 'tiles' one by one in tiles, each taking less
        memory than the one before; 'auto' is slices for SD3's large VAE and batch for others.
        report(what, done): told what is being read, and how much of everything is, 0..1; what it
        raises ends the loading. Raises ModelError, one line with the way out.
        """
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        return cls(load_model(model, device, dtype, report), device, dtype, compile, quantize,
                   decoding)

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
        a task's result is in the perception: tasks of equal cost are painted together, the cheapest
        first, and those that are read fast are read first, people last; somebody may use it while
        the others are painted and read. Raises ValueError for what cannot be done.
        """
        # 1. Check the question before any work is done
        image = checked_image(image)
        names, requests = self._requests(tasks, points, num_inference_steps, guidance_scale)
        clock = Stopwatch(timings, self.device)

        # 2. Squash the picture to the model's resolution: the aspect is not kept, as in training
        squashed = resize(image, self.resolution, self.config['resample'])    # uint8 (h, w, 3)
        clock.mark('preprocess')

        # 3. Encode it once
        encoded = self._encode_images([squashed], clock.mark)
        noise = self._initial_noise(encoded.latents.shape[1:], seed)  # (1, C, h, w)

        # 4. Batch by batch, the cheap ones first: paint, back to the camera's resolution, read
        size = (image.shape[1], image.shape[0])
        perception, unread = Perception(), []
        for rows in batches(requests):
            latents = noise.expand(len(rows), -1, -1, -1)
            painted = self._paint(encoded, [requests[row] for row in rows], latents, clock.mark)
            for row, picture in zip(rows, in_one_block(painted), strict=True):
                perception.pictures[names[row]] = resize(picture, size)    # float32 (H, W, 3)
                unread.append(names[row])
            unread = self._read(unread, names, perception, ready)
            clock.mark('decode_results')
        clock.stop()
        return perception

    def _read(self, painted: Sequence[str], names: Sequence[str], perception: Perception,
              ready: Callable[[str, Perception], None]) -> list[str]:
        """Read what is `painted` into `perception`, but what needs others of `names` that are not
        painted yet: those names are returned."""
        later = []
        for name in in_reading_order(painted):
            task, first = self._tasks[name], set(self._tasks[name].after)
            if first <= set(names) and not first <= perception.pictures.keys():
                later.append(name)
                continue
            perception.add(name, task.decode_beside(perception.pictures[name], perception))
            ready(name, perception)
        return later

    def warm_up(self, tasks: Sequence[str] = (), size: tuple[int, int] | None = None,
                num_inference_steps: int | Mapping[str, int] | None = None,
                guidance_scale: float | Mapping[str, float] | None = None,
                report: Callable[[str, float], None] = lambda what, done: None) -> None:
        """Run what frames will run, so that none has to wait for compilation, allocation and
        autotuning: one step of every shape of batch on a grey picture, once.

        tasks: empty = every kind of task once. size: (width, height) of the camera's pictures.
        num_inference_steps, guidance_scale: what the frames will be asked with, as in a call; they
        decide which tasks share a batch. Where a task needs points, frames without any are warmed
        up as well. report(what, done): told before each batch, `done` of 1; what it raises ends the
        warm-up, and the pipeline stays as usable as before. Raises ValueError as a call does.
        """
        kinds = {self._config_key(name): name for name in reversed(self.tasks)}
        names = list(tasks) or list(kinds.values())
        points = [(0.5, 0.5)] if self.config['max_points'] else ()
        width, height = size or self.resolution
        grey = np.full((height, width, 3), 128, np.uint8)
        names, requests = self._requests(names, points, num_inference_steps, guidance_scale)
        shapes: dict[tuple[int, bool], list[int]] = {}
        for asked in (range(len(names)), [row for row, name in enumerate(names)
                                          if not self._tasks[name].needs_points]):
            for rows in batches([requests[row] for row in asked]):
                rows = [asked[row] for row in rows]
                shapes.setdefault((len(rows), requests[rows[0]].guided), rows)
        encoded = self._encode_images(
            [resize(grey, self.resolution, self.config['resample'])], lambda stage: None)
        noise = self._initial_noise(encoded.latents.shape[1:], 0)
        for number, rows in enumerate(shapes.values()):
            what = ', '.join(names[row] for row in rows[:4]) + (', ...' if len(rows) > 4 else '')
            report(f'warming up: batch {number + 1} of {len(shapes)} ({what})',
                   number / len(shapes))
            painted = self._paint(encoded, [replace(requests[row], steps=1) for row in rows],
                                  noise.expand(len(rows), -1, -1, -1), lambda stage: None)
            picture = in_one_block(painted)[0]
        perception = Perception(pictures=dict.fromkeys(names, resize(picture, (width, height))))
        kinds = list({self._config_key(name): name for name in names}.values())
        self._read(kinds, kinds, perception, lambda name, so_far: None)

    def memory(self) -> dict[str, int]:
        """Bytes held by each component's weights and tables; `prompts` in the host's memory; of a
        closed pipeline nothing. Any thread may ask."""
        prompts, modules = self.prompts, (
            ('transformer', self.transformer), ('point_encoder', self.point_encoder),
            ('vae', self.autoencoder), ('image_encoder', self.image_encoder))
        held = {name: sum(map(nbytes, (*module.parameters(), *module.buffers())))
                for name, module in modules if module is not None}
        return held if prompts is None else {**held, 'prompts': prompts.nbytes()}

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
        encoded = self._encode_images(images, clock.mark)
        if latents is None:
            latents = self._initial_noise(encoded.latents.shape[1:], seed)
        latents = latents.to(self.device).expand(rows, -1, -1, -1)    # (N, C, h, w)
        pictures = torch.empty(rows, 3, height, width)
        for batch in batches(requests):
            pictures[batch] = self._paint(encoded, [requests[row] for row in batch],
                                          latents[batch], clock.mark).cpu()
        clock.stop()
        return pictures

    @torch.inference_mode()
    def _encode_images(self, images: Sequence[np.ndarray],
                       mark: Callable[[str], None]) -> EncodedImages:
        """Every image, uint8 (H, W, 3), to what all tasks and all steps look at."""
        pixels = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)
        pixels = (pixels.float() / 127.5 - 1).to(self.dtype)          # (I, 3, H, W) in [-1, 1]
        image_features = None if self.image_encoder is None else self.image_encoder(pixels)
        latents, features = self._encode(pixels, image_features)      # (I, C, h, w)
        mark('encode')
        cache = None
        if self.transformer.config.image_tokens == 'once':
            cache = self.transformer.encode_image(
                latents, image_features and token_features(image_features))
        return EncodedImages(latents, features, cache)

    @torch.inference_mode()
    def _paint(self, encoded: EncodedImages, requests: Sequence[Request], latents: torch.Tensor,
               mark: Callable[[str], None]) -> torch.Tensor:
        """One batch of requests (see `batches`), from its initial noise `latents` (R, C, h, w);
        float32 (R, 3, H, W) in [0, 1] on the device."""
        pictures = [request.picture for request in requests]
        sampled = self._sample(requests, latents, encoded)
        mark('sample')
        pictures = self._decode(sampled, encoded.features, pictures)
        pictures = (pictures.float() / 2 + 0.5).clamp(0, 1)
        mark('decode_latents')
        return pictures

    def _sample(self, requests: Sequence[Request], latents: torch.Tensor,
                encoded: EncodedImages) -> torch.Tensor:
        """Flow matching from noise to target latents, float32 (R, C, h, w)."""
        # 1. Guidance doubles the batch: the second half has the empty prompt and point tokens of
        #    zeros, and sees the picture all the same
        guided, twice = requests[0].guided, 2 if requests[0].guided else 1
        prompts = [request.prompt for request in requests] + [''] * len(requests) * (twice - 1)
        embeds, pooled = self._prompt_embeddings(tuple(prompts))      # (B, T, D), (B, P)
        tokens = self._point_tokens([request.points for request in requests])   # (R, points, W)
        if tokens is not None and guided:
            tokens = torch.cat([tokens, torch.zeros_like(tokens)])    # (B, points, W)
        scale = torch.tensor([request.guidance for request in requests],
                             device=self.device).view(-1, 1, 1, 1)

        # 2. What each row looks at, once for all steps: indexing by a list in the loop would make
        #    the device wait at every step
        seen, index = encoded.latents, None
        if len(seen) > 1:
            index = torch.tensor([request.picture for request in requests] * twice,
                                 device=self.device)
        if encoded.cache is not None:
            seen = None
        else:
            seen = seen.expand(len(prompts), -1, -1, -1) if index is None else seen[index]

        # 3. Denoise
        self.scheduler.set_timesteps(requests[0].steps, device=self.device)
        self.scheduler.set_begin_index(0)                         # or it searches, and a GPU waits
        for timestep in self.scheduler.timesteps:
            batch = torch.cat([latents, latents]) if guided else latents
            velocity = self._velocity(batch, seen, embeds, pooled, tokens, timestep,
                                      encoded.cache, index)       # float32 (B, C, h, w)
            if guided:
                velocity, unconditional = velocity.chunk(2)
                velocity = unconditional + scale * (velocity - unconditional)
            latents = self.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        return latents

    def _velocity(self, latents: torch.Tensor, image_latents: torch.Tensor | None,
                  embeds: torch.Tensor, pooled: torch.Tensor, tokens: torch.Tensor | None,
                  timestep: torch.Tensor, cache: ImageCache | None,
                  index: torch.Tensor | None) -> torch.Tensor:
        """The one place that calls the transformer; `index` (B,): the image of `cache` that each
        row looks at, None if there is one for all."""
        inputs = (latents.to(self.dtype), image_latents, embeds, pooled, tokens,
                  timestep.expand(len(latents)))
        self._any_number_of_rows(*inputs, index)
        return self.transformer(*inputs, image_cache=cache, image_index=index).float()

    def _any_number_of_rows(self, *tensors: torch.Tensor | None) -> None:
        """Let a compiled graph serve every number of rows over one, not each its own."""
        if self._compiled:
            for tensor in tensors:
                if tensor is not None:
                    torch._dynamo.maybe_mark_dynamic(tensor, 0)

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
        # The loop over slices is ours: within a compiled decoder it would be unrolled, once for
        # every number of tasks.
        rows = range(len(latents))
        parts = [[row] for row in rows] if self._slices else [rows]
        return torch.cat([self._decode_part(
            latents[part[0]:part[-1] + 1],
            [level if len(level) == 1 else level[pictures[part[0]:part[-1] + 1]]
             for level in features]) for part in parts])

    def _decode_part(self, latents: torch.Tensor, features: list[torch.Tensor]) -> torch.Tensor:
        """What is decoded at once: latents (R, C, h, w), features (R, ...) or (1, ...)."""
        self._any_number_of_rows(latents, *features)
        if features:
            return self.autoencoder.decode(latents, features)
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
        if prompts in self._embeddings:
            self._embeddings.move_to_end(prompts)
            return self._embeddings[prompts]
        found = tuple(t.to(self.device, self.dtype) for t in self.prompts.lookup(prompts))
        self._embeddings[prompts] = found
        held = sum(t.nbytes for pair in self._embeddings.values() for t in pair)
        while held > MAX_PROMPT_BYTES and len(self._embeddings) > 1:
            _, oldest = self._embeddings.popitem(last=False)
            held -= sum(t.nbytes for t in oldest)
        return found

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

    def _requests(self, tasks: Sequence[str], points: Sequence[tuple[float, float]],
                  num_inference_steps: int | Mapping[str, int] | None,
                  guidance_scale: float | Mapping[str, float] | None,
                  ) -> tuple[list[str], list[Request]]:
        """The names of the tasks, each once, and a request for each; the arguments are a call's.
        ValueError for what cannot be done."""
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
        return names, requests

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
        if self._tiles and not isinstance(self.autoencoder, AutoencoderKL):
            raise ModelError(f'decoding: {type(self.autoencoder).__name__} cannot decode in tiles; '
                             "use 'slices' or 'batch'")
        if decoding == 'auto':                                    # six 768x768 pictures at once
            large = isinstance(self.autoencoder, AutoencoderKL)   # would take 5 GB
            decoding = 'slices' if large else 'batch'
        self._slices = decoding != 'batch'
        if self._slices and isinstance(self.autoencoder, AutoencoderKL):
            self.autoencoder.enable_slicing()                     # encodes several images so, too
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


def in_one_block(painted: torch.Tensor) -> Sequence[np.ndarray]:
    """Pictures (R, 3, h, w) as R arrays (h, w, 3), float32, each in one block of memory: what is
    only permuted, OpenCV copies anew for whatever it does."""
    if painted.device.type == 'cpu':                              # torch takes twice as long
        return [cv2.merge(list(planes)) for planes in painted.numpy()]
    return painted.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def batches(requests: Sequence[Request]) -> list[list[int]]:
    """The rows of `requests` that share a batch: those of as many steps, with guidance or without.
    What is cheap per row comes first, which makes the mean wait for a result the shortest (Smith's
    rule)."""
    groups: dict[tuple[int, bool], list[int]] = {}
    for row, request in enumerate(requests):
        groups.setdefault((request.steps, request.guided), []).append(row)
    return sorted(groups.values(), key=lambda rows: requests[rows[0]].passes)


def resize(picture: np.ndarray, size: tuple[int, int], resample: str = 'area') -> np.ndarray:
    """`picture` (h, w, 3) at `size` (width, height), each direction for itself.

    resample: 'area' averages where it shrinks and is linear where it grows; 'lanczos' is Pillow's
    LANCZOS, for uint8 alone.
    """
    height, width = picture.shape[:2]
    if (width, height) == tuple(size):
        return picture
    if resample == 'lanczos':
        # Across first, as Pillow did when models were trained: from 13 on it begins with what
        # shrinks more, and rounds something else in between.
        rows = Image.fromarray(picture).resize((size[0], height), Image.Resampling.LANCZOS)
        return np.asarray(rows.resize(tuple(size), Image.Resampling.LANCZOS))
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
