# SPDX-License-Identifier: Apache-2.0
"""Model directories that cannot be used are refused in one line that names file and way out."""
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from diception_ros.model import DiceptionPipeline, ModelError
from diception_ros.model.checkpoints import OPTIONAL, save_model

WEIGHTS = 'diffusion_pytorch_model.safetensors'


@pytest.fixture
def broken(tiny, tmp_path):
    """A copy of the tiny model to be broken."""
    return shutil.copytree(tiny, tmp_path / 'broken')


def rewrite(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def retensor(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def refusal(folder):
    """What from_pretrained says of a directory, in one line."""
    with pytest.raises(ModelError) as caught:
        DiceptionPipeline.from_pretrained(folder)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_model_that_is_written_is_read_back_unchanged(tmp_path):
    from tiny_model import tiny_components
    components = tiny_components(autoencoder='guided', image_tokens='once', max_points=5)
    save_model(components, tmp_path / 'model')
    read = DiceptionPipeline.from_pretrained(tmp_path / 'model')
    assert read.config == {**OPTIONAL, **components.config}
    for name in ('transformer', 'point_encoder', 'autoencoder'):
        written, found = getattr(components, name).state_dict(), getattr(read, name).state_dict()
        assert written.keys() == found.keys()
        assert all(torch.equal(written[key], found[key]) for key in written)
    assert torch.equal(read.prompts.lookup(['depth'])[0], components.prompts.lookup(['depth'])[0])


def test_a_directory_that_is_not_there_is_told_with_what_there_is():
    assert "no directory '/no/such/model'" in refusal('/no/such/model')
    assert "no directory 'nanoo'" in refusal('nanoo')


def test_a_file_and_a_foreign_directory_are_told_from_a_model(tmp_path, published):
    (tmp_path / 'model.pth').write_bytes(b'x')
    assert 'is a file' in refusal(tmp_path / 'model.pth')
    assert 'diception.json: missing' in refusal(tmp_path)
    assert 'is a StableDiffusion3Pipeline of diffusers' in refusal(published.sd3)


@pytest.mark.parametrize('name', [
    'diception.json', 'prompts.safetensors', 'transformer/config.json', f'transformer/{WEIGHTS}',
    'scheduler/scheduler_config.json', f'vae/{WEIGHTS}', 'vae/config.json',
    f'point_encoder/{WEIGHTS}'])
def test_a_missing_file_is_named(broken, name):
    (broken / name).unlink()
    assert f'{name}: missing' in refusal(broken)


@pytest.mark.parametrize(
    'name', ['prompts.safetensors', f'transformer/{WEIGHTS}', f'vae/{WEIGHTS}'])
@pytest.mark.parametrize('keep', [0, 4, 100, -10])
def test_a_truncated_file_is_named(broken, name, keep):
    file = broken / name
    file.write_bytes(file.read_bytes()[:keep])
    said = refusal(broken)
    assert name in said and 'truncated' in said


@pytest.mark.parametrize('name', ['diception.json', 'transformer/config.json'])
@pytest.mark.parametrize('text', ['{"format": 1', '[]', '\x00\xff'])
def test_a_file_that_is_not_json_is_named(broken, name, text):
    (broken / name).write_text(text)
    assert name in refusal(broken)


def test_a_missing_an_unexpected_and_a_misshapen_tensor_are_named(broken):
    def change(tensors):
        tensors['stranger'] = tensors.pop('proj_out.bias')
        tensors['proj_out.weight'] = torch.zeros(3, 3)
    retensor(broken / 'transformer' / WEIGHTS, change)
    said = refusal(broken)
    assert 'missing proj_out.bias' in said and 'unexpected stranger' in said
    assert 'wrong shape proj_out.weight (3, 3) instead of (64, 32)' in said


def test_the_table_of_positions_may_be_left_out(tiny, broken):
    retensor(broken / 'transformer' / WEIGHTS, lambda tensors: tensors.pop('pos_embed.pos_embed'))
    whole, light = map(DiceptionPipeline.from_pretrained, (tiny, broken))
    table = light.transformer.pos_embed.pos_embed
    assert torch.allclose(table, whole.transformer.pos_embed.pos_embed, atol=1e-6)


@pytest.mark.parametrize(('field', 'value'), [
    ('format', 2), ('resolution', [64]), ('resolution', [60, 60]), ('resolution', [640, 640]),
    ('space', 'outer'), ('initial_noise', 'pink'), ('point_order', 'zx'), ('tasks', {}),
    ('tasks', {'depth': {}}), ('tasks', {'smell': {'num_inference_steps': 1, 'guidance_scale': 1}}),
    ('max_points', -1), ('normal_axes', ['up', 'up', 'up']), ('pose_encoding', 'morse'),
    ('categories', 'person'), ('prompts', []), ('resample', 'cubic'),
    ('semantic_painting', 'red')])
def test_a_wrong_field_of_diception_json_is_named(broken, field, value):
    rewrite(broken / 'diception.json', lambda config: config.update({field: value}))
    said = refusal(broken)
    assert field in said or 'smell' in said


def test_a_task_without_its_prompt_is_named(broken):
    rewrite(broken / 'diception.json', lambda config: config['categories'].append('zebra'))
    assert "lacks the prompt of the task 'semantic:zebra'" in refusal(broken)


def test_components_that_do_not_fit_each_other_are_told(broken, tmp_path):
    rewrite(broken / 'diception.json', lambda config: config.update(space='pixel'))
    assert 'works on 4 channels, the picture has 3' in refusal(broken)


def test_another_model_s_components_are_told(broken, published):
    rewrite(broken / 'vae' / 'config.json', lambda config: config.update(_class_name='VQModel'))
    assert "autoencoder class 'VQModel' is not one of" in refusal(broken)
    rewrite(broken / 'scheduler' / 'scheduler_config.json',
            lambda config: config.update(_class_name='DDIMScheduler'))
    assert "'DDIMScheduler' is not FlowMatchEulerDiscreteScheduler" in refusal(broken)


def test_weights_in_shards_are_read_and_a_missing_shard_is_named(broken):
    whole = load_file(broken / 'transformer' / WEIGHTS)
    (broken / 'transformer' / WEIGHTS).unlink()
    places = {}
    for index, name in enumerate(sorted(whole)):
        places.setdefault(f'part-{index % 2}.safetensors', {})[name] = whole[name]
    for file, tensors in places.items():
        save_file(tensors, broken / 'transformer' / file)
    (broken / 'transformer' / f'{WEIGHTS}.index.json').write_text(json.dumps(
        {'weight_map': {name: file for file, tensors in places.items() for name in tensors}}))
    read = DiceptionPipeline.from_pretrained(broken).transformer.state_dict()
    assert all(torch.equal(read[name], whole[name]) for name in whole)
    (broken / 'transformer' / 'part-1.safetensors').unlink()
    assert 'part-1.safetensors: missing' in refusal(broken)


def test_an_existing_directory_is_not_overwritten(tiny):
    from tiny_model import tiny_components
    before = sorted(tiny.rglob('*'))
    with pytest.raises(ModelError, match='holds results of `diception_ros` already'):
        save_model(tiny_components(), tiny)
    assert sorted(tiny.rglob('*')) == before
