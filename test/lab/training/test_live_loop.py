# SPDX-License-Identifier: Apache-2.0
"""The training loop on a network of a few thousand weights: it learns, resumes exactly, and leaves
a model directory that the pipeline runs."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from diception_ros.lab.training.loop import (
    compiles_right,
    learning_rate,
    train,
    worlds_top,
)
from diception_ros.lab.training.network import Network, reconstruction_loss
from diception_ros.lab.training.pictures import Scenes, write_store
from diception_ros.lab.training.settings import read_settings
from diception_ros.lab.training.targets import TaskBatch
from diception_ros.model import DiceptionPipeline

TINY = {
    'name': 'tiny', 'resolution': [32, 32], 'seed': 0,
    'worlds': {'from': 0.0, 'to': 0.0, 'until': 0.5},
    'tasks': ['depth', 'normals', 'entities', 'pose', 'semantic', 'segmentation'],
    'loss': {'dice': 0.4, 'balance': 1.0, 'joints': 8.0, 'flow': 0.1, 'again': 0.2},
    'pictures': 2, 'flow_rows': 2, 'steps': 4,
    'optimizer': {'learning_rate': 0.002, 'prompts': 10, 'weight_decay': 0.01, 'warm_up': 2,
                  'decay': 0.5, 'clip': 1.0, 'ema': 0.9},
    'precision': 'float32', 'compile': False, 'save_minutes': 1, 'validate_minutes': 60,
    'validate_scenes': 2,
    'model': {
        'prompt_tokens': 2,
        'transformer': {'sample_size': 4, 'patch_size': 2, 'in_channels': 8, 'out_channels': 8,
                        'num_layers': 2, 'attention_head_dim': 16, 'num_attention_heads': 2,
                        'joint_attention_dim': 16, 'caption_projection_dim': 32,
                        'pooled_projection_dim': 8, 'pos_embed_max_size': 2,
                        'qk_norm': 'rms_norm', 'image_tokens': 'once'},
        'autoencoder': {'latent_channels': 8, 'encoder_channels': [8, 16, 16],
                        'encoder_blocks': [1, 1, 1], 'decoder_channels': [8, 8, 16],
                        'decoder_blocks': [1, 1, 1]},
        'point_encoder': {'num_frequencies': 8, 'hidden_dim': 16, 'grid': 2}},
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_training_that_was_interrupted_goes_on_exactly_where_it_was(tmp_path):
    config = {**TINY, 'validate_scenes': 0}
    train(config, tmp_path / 'whole')
    run_steps(config, tmp_path / 'halves', 2)
    train(config, tmp_path / 'halves')
    whole, halves = (torch.load(tmp_path / name / 'checkpoint.pt', weights_only=True)
                     for name in ('whole', 'halves'))
    assert whole['state']['step'] == halves['state']['step'] == 4
    for part in ('network', 'average'):
        for key, value in whole[part].items():
            assert torch.equal(value, halves[part][key]), (part, key)


def run_steps(config, out, steps):
    """Run the first `steps` steps as if the process had been killed right after saving."""
    from diception_ros.lab.training import loop

    class Killed(BaseException):
        pass

    saved, original = [], loop.save_checkpoint

    def save_and_die(file, network, average, muon, adam, state):
        original(file, network, average, muon, adam, state)
        saved.append(state['step'])
        if state['step'] == steps:
            raise Killed

    loop.save_checkpoint = save_and_die
    try:
        with pytest.raises(Killed):
            train({**config, 'save_minutes': 0}, out)
    finally:
        loop.save_checkpoint = original
    assert saved == list(range(1, steps + 1))


def test_the_model_directory_that_training_leaves_runs_in_the_pipeline(tmp_path):
    train({**TINY, 'steps': 1}, tmp_path)
    pipe = DiceptionPipeline.from_pretrained(tmp_path / 'model', dtype='float32')
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    result = pipe(image, tasks=['depth', 'segmentation', 'semantic:person'], points=[(0.5, 0.5)])
    assert result.depth.shape == (48, 64)
    assert result.segmentation.shape == (48, 64)
    assert set(result.semantic) == {'person'}
    log = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    assert log[-1]['step'] == 1 and np.isfinite(log[-1]['loss'])
    assert (tmp_path / 'curves.png').is_file()


def test_two_processes_train_one_model(tmp_path):
    config = {**TINY, 'validate_scenes': 0, 'steps': 2}
    (tmp_path / 'tiny.yaml').write_text(yaml.safe_dump(config))
    ran = subprocess.run(
        [Path(sys.executable).with_name('diception'), 'train', '--config', tmp_path / 'tiny.yaml',
         '--out', tmp_path / 'run', '--processes', '2'],
        capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    log = json.loads((tmp_path / 'run/log.jsonl').read_text().splitlines()[-1])
    assert (log['step'], log['pictures']) == (2, 8)
    assert (tmp_path / 'run/model/diception.json').is_file()


def test_a_new_run_starts_from_the_weights_of_a_model(tmp_path):
    config = {**TINY, 'validate_scenes': 0, 'steps': 1}
    train(config, tmp_path / 'first')
    still = {**config, 'optimizer': {**TINY['optimizer'], 'learning_rate': 0.0}}
    train(still, tmp_path / 'second', init=tmp_path / 'first/model')
    first, second = (DiceptionPipeline.from_pretrained(tmp_path / name / 'model', dtype='float32')
                     for name in ('first', 'second'))
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    prompts = ['depth', 'semantic:sky']
    assert np.array_equal(first.generate(image, prompts), second.generate(image, prompts))


def test_an_image_encoder_joins_a_model_without_changing_it_and_then_learns(tmp_path):
    config = {**TINY, 'validate_scenes': 0, 'steps': 1}
    train(config, tmp_path / 'first')
    seeing = {**config, 'resolution': [64, 64], 'model': {
        **TINY['model'],
        'image_encoder': {'stem_channels': 4, 'stages': [
            [3, 1, 1, 4, 1], [3, 2, 2, 4, 1], [3, 2, 2, 4, 1], [3, 2, 2, 6, 1], [3, 1, 2, 6, 1],
            [3, 2, 2, 8, 1]]}}}
    still = {**seeing, 'optimizer': {**TINY['optimizer'], 'learning_rate': 0.0}}
    train(still, tmp_path / 'second', init=tmp_path / 'first/model')
    train({**seeing, 'steps': 3}, tmp_path / 'third', init=tmp_path / 'second/model')
    first, second, third = (
        DiceptionPipeline.from_pretrained(tmp_path / name / 'model', dtype='float32')
        for name in ('first', 'second', 'third'))
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    large = image.repeat(2, axis=0).repeat(2, axis=1)
    before = torch.nn.functional.interpolate(first.generate(image, ['depth']), scale_factor=2,
                                             mode='bilinear')
    after = second.generate(large, ['depth'])
    assert after.shape == (1, 3, 64, 64)
    assert (after - before).abs().mean() < 0.005
    assert not torch.equal(third.generate(large, ['depth']), after)
    assert third.memory()['image_encoder'] > 0


def test_a_run_cannot_start_from_a_model_of_another_shape(tmp_path):
    with pytest.raises(ValueError, match='another shape'):
        train({**TINY, 'validate_scenes': 0}, tmp_path, init='nano')


def test_a_few_steps_on_one_batch_lower_the_loss():
    from diception_ros.lab.training.pictures import batch_of, rendered
    from diception_ros.lab.training.targets import sample_targets
    torch.manual_seed(0)
    network = Network(TINY['model'])
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    batch = {k: torch.from_numpy(v)
             for k, v in batch_of([rendered(s, (32, 32), 0.0) for s in range(2)]).items()}
    samples = sample_targets(batch, TINY['tasks'], torch.Generator().manual_seed(0))
    rgb = batch['rgb'].float() / 127.5 - 1
    losses = []
    for _ in range(30):
        pictures, _, _ = network(rgb, samples, torch.tensor([0]), torch.tensor([0.5]),
                                 torch.zeros(1, 8, 4, 4))
        loss, _ = reconstruction_loss(pictures, samples, TINY['loss'])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_a_run_on_rendered_records_leaves_a_model(tmp_path):
    (tmp_path / 'tiny.yaml').write_text(yaml.safe_dump({**TINY, 'validate_scenes': 0}))
    (tmp_path / 'two.yaml').write_text('base: tiny.yaml\nsteps: 2\nloss: {dice: 0.2}\n')
    list(write_store(tmp_path / 'store/scenes', Scenes((32, 32), (0.0, 0.0)), 4))
    settings = read_settings(tmp_path / 'two.yaml')
    assert settings['steps'] == 2 and settings['loss'] == {**TINY['loss'], 'dice': 0.2}
    train(settings, tmp_path / 'out', store=tmp_path / 'store')
    log = [json.loads(line) for line in (tmp_path / 'out/log.jsonl').read_text().splitlines()]
    assert [line['step'] for line in log] == [2]
    assert (tmp_path / 'out/model/diception.json').is_file()


def test_a_compiled_network_is_used_only_if_its_gradients_are_the_plain_ones(monkeypatch, capsys):
    torch.manual_seed(0)
    network, device = Network(TINY['model']), torch.device('cpu')
    monkeypatch.setattr(torch, 'compile', lambda model: model)
    assert compiles_right(network, TINY, device)

    class Wrong(torch.nn.Module):
        def forward(self, *inputs):
            predictions, again, flow = network(*inputs)
            return 1.1 * predictions, again, flow

    monkeypatch.setattr(torch, 'compile', lambda model: Wrong())
    assert not compiles_right(network, TINY, device)
    assert 'training goes on without' in capsys.readouterr().out


def test_a_perfect_answer_costs_nothing_but_a_wrong_one_does():
    target = torch.where(torch.rand(3, 1, 16, 16) > 0.5, 1.0, -1.0).expand(3, 3, 16, 16)
    kinds = ['depth', 'semantic', 'pose']
    samples = TaskBatch(kinds, *[torch.zeros(3)] * 4, target, torch.ones(3, 1, 16, 16))
    best, _ = reconstruction_loss(target.clone(), samples, TINY['loss'])
    worst, by_kind = reconstruction_loss(-target, samples, TINY['loss'])
    assert best.item() < 0.02
    assert worst.item() > 1
    assert set(by_kind) == set(kinds)


def test_an_error_where_nothing_is_known_costs_nothing():
    target = torch.where(torch.rand(3, 1, 16, 16) > 0.5, 1.0, -1.0).expand(3, 3, 16, 16)
    valid = torch.ones(3, 1, 16, 16)
    valid[..., :5] = 0
    samples = TaskBatch(['depth', 'segmentation', 'pose'], *[torch.zeros(3)] * 4, target, valid)
    wrong = torch.where(valid == 0, -target, target)
    for mistaken, cost in ((wrong, False), (-wrong, True)):
        loss, _ = reconstruction_loss(mistaken, samples, TINY['loss'])
        assert (loss.item() > 0.1) == cost


def test_the_rate_rises_stays_and_falls():
    config = TINY['optimizer']
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.001)
    assert learning_rate(config, 10, 0.3) == pytest.approx(0.002)
    assert learning_rate(config, 10, 0.75) == pytest.approx(0.001)
    assert learning_rate(config, 10, 1.0) == 0


def test_worlds_get_harder_from_one_difficulty_to_the_other():
    config = {'from': 0.2, 'to': 1.0, 'until': 0.5}
    assert [round(worlds_top(config, p), 3) for p in (0.0, 0.25, 0.5, 1.0)] == [0.2, 0.6, 1.0, 1.0]
