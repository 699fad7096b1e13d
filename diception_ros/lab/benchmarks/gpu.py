# SPDX-License-Identifier: Apache-2.0
"""`diception bench gpu`: what the published architecture costs on a card, weights being random."""
from __future__ import annotations

import json as json_module
import statistics
import time
from typing import Annotated

import typer

from diception_ros.tasks import DEFAULT_TASKS
from diception_ros.tasks.registry import task_class

FULL_VAE = {
    'latent_channels': 16, 'block_out_channels': (128, 256, 512, 512), 'layers_per_block': 2,
    'down_block_types': ('DownEncoderBlock2D',) * 4, 'up_block_types': ('UpDecoderBlock2D',) * 4,
    'norm_num_groups': 32, 'scaling_factor': 1.5305, 'shift_factor': 0.0609,
    'use_quant_conv': False, 'use_post_quant_conv': False}
# The full transformer and point encoder are those classes' defaults.
SMALL_TRANSFORMER = {
    'sample_size': 32, 'in_channels': 16, 'out_channels': 16, 'num_layers': 2,
    'attention_head_dim': 16, 'num_attention_heads': 4, 'joint_attention_dim': 64,
    'caption_projection_dim': 64, 'pooled_projection_dim': 32, 'pos_embed_max_size': 48}
SMALL_VAE = {**FULL_VAE, 'block_out_channels': (8, 8, 16, 16), 'layers_per_block': 1,
             'norm_num_groups': 4}
SMALL_POINTS = {'inner_dim': 64, 'num_frequencies': 16, 'hidden_dim': 32}


def gpu(
    device: Annotated[str, typer.Option(help='cuda, cuda:<n> or cpu.')] = 'cuda',
    shape: Annotated[str, typer.Option(help='full: SD3 medium; small: a toy for trying this out.',
                                       )] = 'full',
    size: Annotated[int, typer.Option(help='Side of the picture in pixels.', min=64)] = 768,
    steps: Annotated[str, typer.Option(help='Numbers of steps to measure.')] = '1,28',
    tasks: Annotated[str, typer.Option(help='Numbers of tasks per frame to measure.')] = '1,6',
    repeat: Annotated[int, typer.Option(help='Frames per figure.', min=1)] = 20,
    dtype: Annotated[str, typer.Option(help='auto, bfloat16, float16 or float32.')] = 'auto',
    compile: Annotated[bool, typer.Option('--compile', help='With torch.compile.')] = False,
    quantize: Annotated[str | None, typer.Option(help='int8: needs torchao.')] = None,
    decoding: Annotated[str, typer.Option(help='auto, batch, slices or tiles.')] = 'auto',
    json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False,
) -> None:
    """Measure latency by stage and memory of the published architecture with random weights.

    The floor is the time that the counted matrix work takes at the rate that this card reaches in
    one large matrix product.

    \b
    diception bench gpu --steps 1,28 --tasks 1,6 --json
    diception bench gpu --device cpu --shape small --size 128
    """  # noqa: D301
    import torch

    from diception_ros.model.pipeline import DiceptionPipeline, resolve_device, resolve_dtype
    from diception_ros.progress import Progress
    if shape not in ('full', 'small'):
        raise ValueError(f"--shape: {shape!r}; use 'full' or 'small'")
    where = resolve_device(device)
    kind = resolve_dtype(dtype, where)
    counts = [counted(text, '--tasks', len(DEFAULT_TASKS)) for text in tasks.split(',')]
    depths = [counted(text, '--steps', 1000) for text in steps.split(',')]
    with Progress('making a model of random weights') as progress:
        components = random_components(shape, size, where, kind)
        pipe = DiceptionPipeline(components, where, kind, compile, quantize, decoding)
        if size % pipe.stride:
            raise ValueError(f'--size: {size} is not a multiple of {pipe.stride}')
        work = flops(shape, size)
        rate = matmul_rate(where, kind, 8192 if shape == 'full' else 512)
        image = torch.randint(0, 256, (size, size, 3), dtype=torch.uint8).numpy()
        rows = []
        plan = [(count, depth) for count in counts for depth in depths]
        progress.stage('measuring', total=len(plan))
        for count, depth in plan:
            names = list(DEFAULT_TASKS[:count])
            points = [[(0.4, 0.6)] if task_class(name).needs_points else None for name in names]
            if where.type == 'cuda':
                torch.cuda.reset_peak_memory_stats(where)
            seen = []
            for _ in range(repeat + 2):                           # the first two warm up
                stages: dict[str, float] = {}
                pipe.generate(image, names, points, depth, timings=stages)
                seen.append(stages)
            median = {stage: statistics.median(s[stage] for s in seen[2:]) for stage in seen[0]}
            total = work['encode'] + count * (depth * work['transformer'] + work['decode'])
            rows.append({
                'tasks': count, 'steps': depth,
                'ms': {**{stage: round(ms, 2) for stage, ms in median.items()},
                       'all': round(statistics.median(sum(s.values()) for s in seen[2:]), 2)},
                'tflop': round(total / 1e12, 4), 'floor_ms': round(1000 * total / rate, 2),
                'peak_gib': round(torch.cuda.max_memory_allocated(where) / 2 ** 30, 3)
                if where.type == 'cuda' else None})
            progress.advance()
    name = torch.cuda.get_device_name(where) if where.type == 'cuda' else 'cpu'
    report = {'device': name, 'torch': torch.__version__, 'shape': shape, 'size': size,
              'dtype': str(kind).removeprefix('torch.'), 'compile': compile, 'quantize': quantize,
              'decoding': decoding, 'repeat': repeat, 'matmul_tflops': round(rate / 1e12, 3),
              'weights_mb': {part: round(held / 1e6, 1) for part, held in pipe.memory().items()},
              'frames': rows}
    print(json_module.dumps(report) if json else told(report))


def counted(text: str, option: str, largest: int) -> int:
    """A whole number in 1..largest out of a list on the command line."""
    if not text.strip().isdigit() or not 1 <= int(text) <= largest:
        raise ValueError(f'{option}: {text!r}; expected whole numbers in 1..{largest}, as in 1,6')
    return int(text)


def random_components(shape: str, size: int, device, dtype):
    """A model of the published architecture, or a small one of its kind, with random weights."""
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

    from diception_ros.model import DiceptionTransformer, PointEncoder, PromptBank
    from diception_ros.model.checkpoints import Components
    small = shape == 'small'
    modules = []
    for model_class, config in (
            (DiceptionTransformer, SMALL_TRANSFORMER if small else {}),
            (PointEncoder, SMALL_POINTS if small else {}),
            (AutoencoderKL, SMALL_VAE if small else FULL_VAE)):
        with torch.device('meta'):
            module = torch.nn.Module.to(model_class(**config), dtype)
        module = module.to_empty(device=device).requires_grad_(False).eval()
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.normal_(0, 0.02)
        modules.append(module)
    transformer, points, vae = modules
    texts = ['', *DEFAULT_TASKS]
    bank = PromptBank({text: (
        torch.randn(333, transformer.config.joint_attention_dim, dtype=dtype),
        torch.randn(transformer.config.pooled_projection_dim, dtype=dtype)) for text in texts})
    config = {
        'format': 1, 'name': f'random {shape}', 'resolution': [size, size], 'space': 'latent',
        'initial_noise': 'gaussian', 'categories': ['person'], 'point_order': 'yx',
        'max_points': 5, 'normal_axes': ['left', 'up', 'back'], 'pose_encoding': 'discs',
        'entity_colors': 'random', 'prompts': {}, 'tasks': {
            name.partition(':')[0]: {'num_inference_steps': 1, 'guidance_scale': 1.0}
            for name in DEFAULT_TASKS}}
    return Components(config, transformer, FlowMatchEulerDiscreteScheduler(shift=3.0), bank,
                      points, vae)


def flops(shape: str, size: int) -> dict[str, int]:
    """FLOPs of one pass through each part, counted by torch on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    meta = torch.device('meta')
    parts = random_components(shape, size, meta, torch.float32)
    side = size // 8
    latents = torch.empty(1, 16, side, side, device=meta)
    config = parts.transformer.config
    passes = {
        'encode': lambda: parts.autoencoder.encode(torch.empty(1, 3, size, size, device=meta)),
        'transformer': lambda: parts.transformer(
            latents, latents, torch.empty(1, 333, config.joint_attention_dim, device=meta),
            torch.empty(1, config.pooled_projection_dim, device=meta),
            torch.empty(1, 5, parts.transformer.inner_dim, device=meta),
            torch.empty(1, device=meta)),
        'decode': lambda: parts.autoencoder.decode(latents)}
    found = {}
    for name, run in passes.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run()
        found[name] = counter.get_total_flops()
    return found


def matmul_rate(device, dtype, side: int) -> float:
    """FLOP/s of one square matrix product, the best of ten."""
    import torch
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float('inf')
    for _ in range(10):
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        a @ b
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return 2 * side ** 3 / best


def told(report: dict) -> str:
    """The report for eyes."""
    lines = [f'{report["device"]}, torch {report["torch"]}, {report["shape"]} shape, '
             f'{report["size"]}x{report["size"]}, {report["dtype"]}: one matrix product runs at '
             f'{report["matmul_tflops"]:.3g} TFLOP/s',
             'weights (MB): ' + ', '.join(f'{k} {v}' for k, v in report['weights_mb'].items()),
             f'{"tasks":>5} {"steps":>5} {"encode":>9} {"sample":>9} {"decode":>9} {"all ms":>9} '
             f'{"floor ms":>9} {"peak GiB":>9}']
    for row in report['frames']:
        ms, peak = row['ms'], row['peak_gib']
        lines.append(f'{row["tasks"]:>5} {row["steps"]:>5} {ms["encode"]:>9.1f} '
                     f'{ms["sample"]:>9.1f} {ms["decode_latents"]:>9.1f} {ms["all"]:>9.1f} '
                     f'{row["floor_ms"]:>9.1f} {"-" if peak is None else f"{peak:.2f}":>9}')
    return '\n'.join(lines)
