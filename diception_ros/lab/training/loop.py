# SPDX-License-Identifier: Apache-2.0
"""The training loop, top to bottom. `diception train` starts it, once per process.

Run by torch's launcher or accelerate's, it trains on as many processes or GPUs as they start:
    python -m torch.distributed.run --nproc-per-node 2 -m diception_ros.lab.training.loop CONFIG OUT
"""
from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from torch.nn.attention import SDPBackend, sdpa_kernel

from diception_ros.lab.datasets import Records
from diception_ros.lab.synthetic.assets import Assets
from diception_ros.lab.training.network import Network, flow_times, reconstruction_loss
from diception_ros.lab.training.pictures import FIELDS, batch_of, difficulty, rendered
from diception_ros.lab.training.settings import read_settings, size_of
from diception_ros.lab.training.targets import sample_targets
from diception_ros.model.checkpoints import load_model, written_beside
from diception_ros.model.image_encoder import ImageEncoder
from diception_ros.output_folder import OutputFolder, RunFolder
from diception_ros.tasks.registry import trained_kinds

MADE_BY = 'diception train'

# Of the gradient's length; float32 on a GPU sums in another order.
MAX_GRADIENT_DIFFERENCE = 0.01


def train(config: dict[str, Any], out: Path, minutes: float = math.inf,
          init: str | Path | None = None, store: Path | None = None, fresh: bool = False,
          image_encoder: Path | None = None, data: Path | None = None,
          assets: Path | None = None) -> None:
    """Train until `steps` or `minutes` of this run are over; write `out/model` at the end.

    `out` keeps checkpoint.pt (from which the next call goes on exactly where this one was),
    log.jsonl, curves.png and sheets of answers. `init`: the model whose weights a new run
    starts from, a directory or 'nano'. `store`: folder with the records of `scenes`, and perhaps
    `photographs`, made before by `write_store` and kept on the device; None makes them here.
    `image_encoder`: the pre-trained weights of a new run's image encoder, a folder. `data`: a data
    set of photographs, of which every step sees `photographs` (see `lab.datasets`). `assets`:
    folder of cut-outs, textures and panoramas for scenes and photographs.
    """
    # 1. Set up: processes, device, network, optimisers
    distributed = 'WORLD_SIZE' in os.environ
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    torch.manual_seed(config['seed'])                             # equal in all processes
    network = Network(config['model']).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    muon, adam = optimisers(network, config['optimizer'])
    state = {'step': 0, 'pictures': 0, 'samples': 0, 'progress': 0.0, 'seconds': 0.0}
    checkpoint = out / 'checkpoint.pt'
    if rank == 0:
        RunFolder(out, MADE_BY).begin()
        model_folder(out).check()
    if checkpoint.is_file() and not fresh:
        saved = torch.load(checkpoint, map_location='cpu', weights_only=True)
        network.load_state_dict(saved['network'])
        average.load_state_dict(saved['average'])
        muon.load_state_dict(saved['muon'])
        adam.load_state_dict(saved['adam'])
        state.update(saved['state'])
    elif init is not None:
        network.start_from(load_model(init, device, torch.float32))
        average.load_state_dict(network.state_dict())
    if image_encoder is not None and network.image_encoder is not None and not state['step']:
        network.image_encoder.load_state_dict(ImageEncoder.from_pretrained(
            image_encoder, local_files_only=True).state_dict())
        average.image_encoder.load_state_dict(network.image_encoder.state_dict())
    if rank == 0:
        with RunFolder(out, MADE_BY).file('config.yaml') as beside:
            beside.write_text(yaml.safe_dump(config, sort_keys=False))
    model = torch.nn.parallel.DistributedDataParallel(network) if distributed else network
    if config['compile'] and compiles_right(network, config, device):
        model = torch.compile(model)
    autocast = (torch.autocast(device.type, torch.bfloat16) if config['precision'] == 'bf16'
                else nullcontext())
    # On the CPU torch's fused attention is slower for so few tokens than plain matrix products.
    backends = [SDPBackend.MATH] if device.type == 'cpu' else [
        SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    stored = {} if store is None else {
        kind: load_store(store / kind, device) for kind in ('scenes', 'photographs')
        if (store / kind).is_dir()}
    size, scale = size_of(config)
    photographs, scene_assets = None, None
    if assets is not None:
        scene_assets = Assets(assets, 'train')
    if data is not None:
        photographs = photograph_records(config, data, assets)

    # 2. Loop
    steps, per_step = config['steps'], config['pictures']
    began = saved_at = validated_at = time.monotonic()
    first_progress = state['progress']
    heard: list[dict[str, float]] = []
    network.train()
    while state['progress'] < 1:
        step = state['step']
        generator = torch.Generator(device).manual_seed(hash((config['seed'], step, rank)) % 2**62)

        # 3. Scenes and photographs, and what is sampled of them
        if not stored:
            first = 10_000_000 * config['seed'] + (step * world + rank) * per_step
            top = worlds_top(config['worlds'], state['progress'])
            records = [rendered(seed, size, difficulty((0, top), seed), scene_assets, scale)
                       for seed in range(first, first + per_step)]
            if photographs is not None:
                count = config['photographs']['per_step']
                first = (step * world + rank) * count
                records += [photographs[number] for number in range(first, first + count)]
            batch = {name: torch.from_numpy(array).to(device)
                     for name, array in batch_of(records).items()}
        else:
            batch = {}
            for kind, arrays in stored.items():
                count = per_step if kind == 'scenes' else config['photographs']['per_step']
                chosen = torch.randint(len(arrays['rgb']), (count,), generator=generator,
                                       device=device)
                batch = {name: torch.cat([*([batch[name]] if batch else []), array[chosen]])
                         for name, array in arrays.items()}
        samples = sample_targets(batch, config.get('tasks', trained_kinds()), generator)
        rgb = (batch['rgb'].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        whole = samples.valid.flatten(1).all(dim=1).nonzero()[:, 0]
        count = min(config['flow_rows'], len(whole))
        flow_rows = whole[torch.randperm(len(whole), generator=generator, device=device)[:count]]
        flow_time = flow_times(count, generator, device)
        latent = network.autoencoder.config.latent_channels
        noise = torch.randn(count, latent, size[1] // 8, size[0] // 8,
                            generator=generator, device=device)
        noise *= torch.rand(count, 1, 1, 1, generator=generator, device=device) < 0.5

        # 4. Loss and gradients
        with autocast, sdpa_kernel(backends):
            predictions, again, flow = model(rgb, samples, flow_rows, flow_time, noise)
        fading = {'balance': config['loss']['balance'] * (1 - state['progress'])}
        loss, by_kind = reconstruction_loss(predictions, samples, {**config['loss'], **fading})
        again = (again.float() - samples.target[flow_rows]).square().mean()
        total = loss + config['loss']['flow'] * flow + config['loss']['again'] * again
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config['optimizer']['clip'])

        # 5. Update the weights and their moving average
        rate = learning_rate(config['optimizer'], step, state['progress'])
        for optimiser in (muon, adam):
            for group in optimiser.param_groups:
                group['lr'] = rate * group.get('lr_multiplier', 1)
        if torch.isfinite(norm):
            muon.step()
            adam.step()
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)
        keep = min(config['optimizer']['ema'], (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)

        # 6. Book-keeping; time is rank 0's, so that all processes stop at the same step
        elapsed = torch.tensor(time.monotonic() - began)
        if distributed:
            torch.distributed.broadcast(elapsed, 0)
        share = elapsed.item() / 60 / minutes
        state['step'] = step + 1
        state['pictures'] += len(rgb) * world
        state['samples'] += len(samples.kinds) * world
        state['progress'] = max(state['step'] / steps,
                                first_progress + (1 - first_progress) * share)
        heard.append({**by_kind, 'loss': loss.item(), 'flow': flow.item(), 'again': again.item(),
                      'norm': norm.item()})
        now = time.monotonic()
        if rank == 0 and (len(heard) == 20 or state['progress'] >= 1):
            write_log(out, state, heard, rate, now - began)
            heard = []
        if rank == 0 and (now - saved_at > 60 * config['save_minutes'] or state['progress'] >= 1):
            save_checkpoint(checkpoint, network, average, muon, adam, state)
            saved_at = now
        if rank == 0 and (now - validated_at > 60 * config['validate_minutes']):
            validate(average, config, out, state)
            validated_at = time.monotonic()

    # 7. The model directory
    if rank == 0:
        write_model(average, config, out)
        validate(average, config, out, state)
    # Before the process group goes: whoever lets go of it last waits for its thread, and this would
    # do so with the interpreter locked, for which that thread may be waiting.
    del model
    accelerator.end_training()


def optimisers(network: Network, config: dict[str, Any]):
    """Muon for the matrices of the transformer's blocks, AdamW for everything else; the prompts,
    few numbers that must go a long way, learn `prompts` times as fast, the pre-trained image
    encoder `image_encoder` times."""
    matrices, others, prompts = [], [], [network.prompt_embeds, network.pooled]
    pretrained = []
    for name, parameter in network.named_parameters():
        if name in ('prompt_embeds', 'pooled'):
            continue
        if name.startswith('image_encoder.'):
            pretrained.append(parameter)
            continue
        block = name.startswith('transformer.transformer_blocks') and 'norm' not in name
        (matrices if block and parameter.ndim == 2 else others).append(parameter)
    rate = config['learning_rate']
    return (torch.optim.Muon(matrices, lr=rate, weight_decay=config['weight_decay'],
                             adjust_lr_fn='match_rms_adamw'),
            torch.optim.AdamW([{'params': prompts, 'lr_multiplier': config['prompts']},
                               {'params': pretrained,
                                'lr_multiplier': config.get('image_encoder', 1.0)},
                               {'params': others}], lr=rate, weight_decay=config['weight_decay'],
                              betas=(0.9, 0.98)))


def learning_rate(config: dict[str, Any], step: int, progress: float) -> float:
    """Linear warm-up, constant, linear decay over the last share."""
    rise = min(1.0, (step + 1) / config['warm_up'])
    fall = min(1.0, max(0.0, 1 - progress) / config['decay'])
    return config['learning_rate'] * rise * fall


def worlds_top(config: dict[str, float], progress: float) -> float:
    """The hardest difficulty asked for at this point of the training."""
    share = min(1.0, progress / max(config['until'], 1e-9))
    return config['from'] + (config['to'] - config['from']) * share


def photograph_records(config: dict[str, Any], data: Path, assets: Path | None) -> Records:
    """The photographs that a configuration trains on, with cut-outs of `assets` pasted in."""
    size, scale = size_of(config)
    cutouts = assets and Assets(assets).about.get('cutouts')
    return Records({**config['photographs']['records'], 'data': data, 'rgb_scale': scale,
                    **({'cutouts': assets / cutouts} if cutouts else {})},
                   'train', size, seed=config['seed'])


def compiles_right(network: Network, config: dict[str, Any], device: torch.device) -> bool:
    """Whether the compiled network has the gradients of the plain one, on two scenes in float32;
    says so where it has not. (On a CPU it once had not.)"""
    size, scale = size_of(config)
    batch = {name: torch.from_numpy(array).to(device) for name, array in batch_of(
        [rendered(seed, size, 0.0, None, scale) for seed in range(2)]).items()}
    rgb = (batch['rgb'].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    samples = sample_targets(batch, config.get('tasks', trained_kinds()),
                             torch.Generator(device).manual_seed(0))
    rows, time_ = torch.zeros(1, dtype=torch.long, device=device), torch.ones(1, device=device)
    channels = network.autoencoder.config.latent_channels
    noise = torch.zeros(1, channels, size[1] // 8, size[0] // 8, device=device)
    found = []
    for model in (network, torch.compile(network)):
        predictions, again, flow = model(rgb, samples, rows, time_, noise)
        loss, _ = reconstruction_loss(predictions, samples, config['loss'])
        (loss + flow + again.square().mean()).backward()
        found.append(torch.cat([p.grad.flatten() for p in network.parameters()
                                if p.grad is not None]))
        network.zero_grad(set_to_none=True)
    apart = ((found[0] - found[1]).norm() / found[0].norm()).item()
    if apart > MAX_GRADIENT_DIFFERENCE:
        print(f'compile: gradients differ by {apart:.1e} of their size; training goes on without',
              flush=True)
    return apart <= MAX_GRADIENT_DIFFERENCE


def load_store(folder: Path, device: torch.device) -> dict[str, torch.Tensor]:
    """Everything that `write_store` left in `folder`, on the device."""
    return {name: torch.from_numpy(np.load(folder / f'{name}.npy')).to(device)
            for name in FIELDS}


def model_folder(out: Path) -> OutputFolder:
    """Where the model goes; an older one of the same run is replaced."""
    return OutputFolder(out / 'model', MADE_BY, renew=True, option='')


def write_model(average: Network, config: dict[str, Any], out: Path) -> None:
    """The model directory `out/model` of the averaged weights, in half precision."""
    with written_beside(model_folder(out)) as beside:
        copy.deepcopy(average).save(beside, config)


def export(out: Path) -> None:
    """`out/model` from the checkpoint of a run that is still going on, or was stopped."""
    config = yaml.safe_load((out / 'config.yaml').read_text())
    network = Network(config['model'])
    saved = torch.load(out / 'checkpoint.pt', map_location='cpu', weights_only=True)
    network.load_state_dict(saved['average'])
    write_model(network, config, out)


def save_checkpoint(file: Path, network, average, muon, adam, state) -> None:
    """Write beside, then rename: a run that dies here leaves the last checkpoint whole."""
    with RunFolder(file.parent, MADE_BY).file(file.name) as beside:
        torch.save({'network': network.state_dict(), 'average': average.state_dict(),
                    'muon': muon.state_dict(), 'adam': adam.state_dict(), 'state': state}, beside)


def write_log(out: Path, state: dict[str, Any], heard: list[dict[str, float]], rate: float,
              seconds: float) -> None:
    """One line in log.jsonl and on the screen: means since the last one."""
    names = {name for losses in heard for name in losses}
    means = {name: round(float(np.mean([h[name] for h in heard if name in h])), 5)
             for name in sorted(names)}
    line = {**state, 'progress': round(state['progress'], 4), 'rate': round(rate, 6),
            'seconds': round(seconds), **means}
    with (out / 'log.jsonl').open('a') as log:
        log.write(json.dumps(line) + '\n')
    print(' '.join(f'{k} {v}' for k, v in line.items()), flush=True)


def validate(average: Network, config: dict[str, Any], out: Path, state: dict[str, Any]) -> None:
    """Curves, and figures and a sheet of answers of the averaged weights on validation scenes."""
    curves(out)
    if not config['validate_scenes']:
        return
    from diception_ros.lab.evaluation.synthetic import evaluate, sheet
    from diception_ros.model.pipeline import DiceptionPipeline
    pipe = DiceptionPipeline(average.components(config),
                             next(average.parameters()).device, torch.float32)
    top = worlds_top(config['worlds'], state['progress'])
    figures = evaluate(pipe, worlds=top, scenes=config['validate_scenes'], split='validation')
    with (out / 'validation.jsonl').open('a') as log:
        log.write(json.dumps({**state, **figures['model']}) + '\n')
    print('validation', json.dumps(figures['model']), flush=True)
    with RunFolder(out, MADE_BY).file(f'sheet-{state["step"]:06d}.png') as beside:
        sheet(pipe, worlds=top, scenes=6, split='validation', file=beside)


def curves(out: Path) -> None:
    """Plot log.jsonl and validation.jsonl into curves.png."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4))
    for axis, name in zip(axes, ('log', 'validation')):
        file = out / f'{name}.jsonl'
        text = file.read_text() if file.is_file() else ''
        lines = [json.loads(line) for line in text.splitlines()]
        keys = [k for k in (lines[-1] if lines else {})
                if k not in ('step', 'pictures', 'samples', 'progress', 'seconds', 'rate', 'norm')]
        for key in keys:
            axis.plot([line['pictures'] for line in lines if key in line],
                      [line[key] for line in lines if key in line], label=key)
        axis.set(title=name, xlabel='pictures', yscale='log')
        axis.legend(fontsize=7)
    figure.tight_layout()
    with RunFolder(out, MADE_BY).file('curves.png') as beside:
        figure.savefig(beside, dpi=100)
    pyplot.close(figure)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--minutes', type=float, default=math.inf)
    parser.add_argument('--init')
    parser.add_argument('--store', type=Path)
    parser.add_argument('--fresh', action='store_true')
    parser.add_argument('--image-encoder', type=Path)
    parser.add_argument('--data', type=Path)
    parser.add_argument('--assets', type=Path)
    given = parser.parse_args()
    train(read_settings(given.config), given.out, given.minutes, given.init,
          given.store, given.fresh, given.image_encoder, given.data, given.assets)
