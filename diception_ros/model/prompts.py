# SPDX-License-Identifier: Apache-2.0
"""The bank of prompt embeddings that replaces the text encoders at run time.

The prompts of a model are few and fixed, so what CLIP and T5 make of them is computed once, by
`diception convert`, and kept in `prompts.safetensors`; 5.5 of the 7.7 billion parameters of the
published pipeline stay off the robot. A model without text encoders (nano) keeps learned
embeddings in the same file.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

# The 80 categories of COCO detection, in the order of its annotation files.
COCO_CATEGORIES = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
    'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella',
    'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
    'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange',
    'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant',
    'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone',
    'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors',
    'teddy bear', 'hair drier', 'toothbrush')


def published_prompts(categories: Iterable[str] = COCO_CATEGORIES,
                      extra: Iterable[str] = ()) -> dict[str, str]:
    """{prompt key: exact text} of the published model: its tasks, the categories, the empty prompt.

    A text in `extra` that begins with `[[image2semantic]] ` becomes the key `semantic:<category>`,
    any other text is its own key.
    """
    from diception_ros.tasks.registry import COUNTED
    texts = {'': ''}
    families = {}                                 # what a family's prompts begin with -> its kind
    for kind in COUNTED:
        if kind.published and kind.family:
            families[f'{kind.published.prompt} '] = kind.kind
        if kind.published:
            for task in map(kind, categories) if kind.family else [kind()]:
                texts[task.prompt_key] = task.published_prompt
    for text in extra:
        start = next(filter(text.startswith, families), None)
        texts[f'{families[start]}:{text.removeprefix(start).strip()}' if start else text] = text
    return texts


class PromptBank:
    """{prompt key: (prompt_embeds (T, D), pooled (P,))}; the prompts' texts are second names."""

    def __init__(self, embeds: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
                 texts: Mapping[str, str] | None = None):
        """`texts` maps keys to what the text encoders read; one shape (T, D) for the whole bank."""
        if '' not in embeds:
            raise ValueError("prompts: the empty prompt '' is missing, which guidance needs")
        shapes = {(tuple(e.shape), tuple(p.shape)) for e, p in embeds.values()}
        if len(shapes) != 1 or any(e.ndim != 2 or p.ndim != 1 for e, p in embeds.values()):
            raise ValueError(f'prompts: embeddings must be (T, D) and (P,), the same for every '
                             f'prompt; found {sorted(shapes)[:3]}')
        self._embeds = dict(embeds)
        self.texts = dict(texts or {})
        self._key_of_text = {text: key for key, text in self.texts.items() if key in embeds}

    def __contains__(self, prompt: str) -> bool:
        return prompt in self._embeds or prompt in self._key_of_text

    @property
    def keys(self) -> list[str]:
        """All prompt keys, '' (the empty prompt) among them."""
        return list(self._embeds)

    @property
    def widths(self) -> tuple[int, int]:
        """(D, P): width of a prompt token, width of the pooled embedding."""
        embeds, pooled = self._embeds['']
        return embeds.shape[-1], pooled.shape[-1]

    def lookup(self, prompts: Iterable[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys or texts -> prompt_embeds (N, T, D), pooled (N, P); ValueError for unknown ones."""
        found = []
        for prompt in prompts:
            key = prompt if prompt in self._embeds else self._key_of_text.get(prompt)
            if key is None:
                known = ', '.join(repr(key) for key in self.keys[:8])
                raise ValueError(f'prompts: {prompt!r} is not in the bank of this model (it has '
                                 f'{known}, ...); add it with `diception convert --prompt`')
            found.append(self._embeds[key])
        return torch.stack([e for e, _ in found]), torch.stack([p for _, p in found])

    def to(self, device, dtype: torch.dtype) -> PromptBank:
        """The same bank on a device, in a dtype."""
        return PromptBank({key: (e.to(device, dtype), p.to(device, dtype))
                           for key, (e, p) in self._embeds.items()}, self.texts)

    def nbytes(self) -> int:
        """Bytes of all embeddings."""
        return sum(e.nbytes + p.nbytes for e, p in self._embeds.values())

    def save(self, file: str | Path) -> None:
        """Write '<key>/prompt_embeds' and '<key>/pooled' for every key."""
        tensors = {}
        for key, (embeds, pooled) in self._embeds.items():
            tensors[f'{key}/prompt_embeds'] = embeds.contiguous().cpu()
            tensors[f'{key}/pooled'] = pooled.contiguous().cpu()
        save_file(tensors, file, metadata={'format': 'pt'})

    @classmethod
    def load(cls, file: str | Path, texts: Mapping[str, str] | None = None) -> PromptBank:
        """Read what `save` wrote; ValueError, one line naming the file, if it is not that."""
        file = Path(file)
        try:
            with safe_open(file, framework='pt') as tensors:
                names = list(tensors.keys())
                keys = [n.removesuffix('/prompt_embeds') for n in names
                        if n.endswith('/prompt_embeds')]
                wanted = {f'{key}/{part}' for key in keys for part in ('prompt_embeds', 'pooled')}
                if wanted != set(names):
                    odd = sorted(wanted ^ set(names))[0]
                    raise ValueError(f'{file}: {odd!r} is missing or unexpected')
                embeds = {key: (tensors.get_tensor(f'{key}/prompt_embeds'),
                                tensors.get_tensor(f'{key}/pooled')) for key in keys}
        except FileNotFoundError:
            raise ValueError(f'{file}: missing; the prompt bank belongs to every model '
                             'directory, convert the model again') from None
        except SafetensorError as error:
            raise ValueError(f'{file}: damaged or truncated ({error}); copy it again') from None
        try:
            return cls(embeds, texts)
        except ValueError as error:
            raise ValueError(f'{file}: {error}') from None


def joined_embeddings(clip_l: torch.Tensor, clip_g: torch.Tensor,
                      t5: torch.Tensor) -> torch.Tensor:
    """What SD3's transformer reads, from what its three text encoders say of a prompt.

    clip_l (77, A), clip_g (77, B): penultimate layers, put side by side and padded with zeros to
    T5's width; t5 (256, D) follows as further tokens. Returns (333, D). This is the end of
    StableDiffusion3Pipeline.encode_prompt, which wants all three encoders in memory at once.
    """
    clip = torch.cat([clip_l, clip_g], dim=-1)
    clip = torch.nn.functional.pad(clip, (0, t5.shape[-1] - clip.shape[-1]))
    return torch.cat([clip, t5.to(clip.dtype)], dim=-2)
