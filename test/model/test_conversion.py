# SPDX-License-Identifier: Apache-2.0
"""Conversion of the published files: what it writes, what it refuses without leaving a trace."""
import json
import pickle
import shutil
from collections import namedtuple

import pytest
import torch
from diffusers import AutoencoderTiny, StableDiffusion3Pipeline

from diception_ros import output_folder
from diception_ros.model import DiceptionPipeline, ModelError, PromptBank, conversion
from diception_ros.model.conversion import Published, convert_published
from diception_ros.model.prompts import COCO_CATEGORIES


@pytest.fixture(scope='module')
def converted(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp('out') / 'model'
    parts = convert_published(published.sd3, published.pickle, folder,
                              extra_prompts=['[[image2semantic]] forklift', '[[image2smoke]]'])
    return folder, parts


@pytest.fixture
def changed_pickle(published, tmp_path):
    """A function that writes a changed checkpoint and returns its path."""
    def write(change):
        state = torch.load(published.pickle, weights_only=True)
        state = change(state) or state
        torch.save(state, tmp_path / 'changed.pth')
        return tmp_path / 'changed.pth'
    return write


@pytest.fixture
def sd3(published, tmp_path):
    """A copy of the SD3 directory to be broken."""
    return shutil.copytree(published.sd3, tmp_path / 'sd3')


def refusal(sd3, file, tmp_path, **options):
    """What convert says, in one line; and it leaves nothing behind."""
    out = tmp_path / 'place' / 'model'
    with pytest.raises(ModelError) as caught:
        convert_published(sd3, file, out, **options)
    assert '\n' not in str(caught.value)
    assert not out.parent.exists() or not list(out.parent.iterdir())
    return str(caught.value)


def rewrite(file, **fields):
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_it_writes_a_model_directory_in_bfloat16_without_text_encoders(converted):
    folder, parts = converted
    assert sorted(p.name for p in folder.iterdir()) == [
        '.diception_output.json', 'diception.json', 'model_index.json', 'point_encoder',
        'prompts.safetensors', 'scheduler', 'transformer', 'vae']
    assert list(folder.parent.iterdir()) == [folder]
    assert parts['transformer'].tensors == 95
    assert set(parts) == {'vae', 'point_encoder', 'transformer', 'prompts'}
    pipe = DiceptionPipeline.from_pretrained(folder, dtype='bfloat16')
    assert pipe.transformer.dtype == torch.bfloat16
    assert all(file.stat().st_mode & 0o044 for file in folder.rglob('*.safetensors'))


def test_the_model_knows_the_six_tasks_the_80_categories_and_what_was_added(converted):
    pipe = DiceptionPipeline.from_pretrained(converted[0])
    assert pipe.tasks[:4] == ['depth', 'normals', 'entities', 'segmentation']
    assert pipe.categories == [*COCO_CATEGORIES, 'forklift'] and len(COCO_CATEGORIES) == 80
    assert {'semantic:forklift', 'semantic:zebra', 'pose'} <= set(pipe.tasks)
    assert len(pipe.prompts.keys) == 6 + 80 + 2
    assert '[[image2smoke]]' in pipe.prompts and '[[image2semantic]] traffic light' in pipe.prompts
    assert pipe.config['point_order'] == 'yx' and pipe.config['pose_encoding'] == 'discs'
    assert pipe.config['tasks']['depth'] == {'num_inference_steps': 1, 'guidance_scale': 1.0}
    assert 'academic' in pipe.config['licence']


def test_the_bank_holds_what_sd3_s_own_encode_prompt_says(published):
    bank = Published(published.sd3, published.pickle).prompts(torch.float32)
    sd3 = StableDiffusion3Pipeline.from_pretrained(published.sd3, transformer=None, vae=None)
    for text in ('[[image2depth]]', '[[image2semantic]] hot dog', ''):
        with torch.no_grad():
            embeds, _, pooled, _ = sd3.encode_prompt(
                [text], None, None, do_classifier_free_guidance=False, max_sequence_length=256)
        found = bank.lookup([text])
        assert found[0].shape == (1, 77 + 256, 24)
        assert torch.allclose(found[0], embeds, atol=1e-6)
        assert torch.allclose(found[1], pooled, atol=1e-6)


def test_only_one_component_is_in_memory_at_a_time(published, tmp_path, monkeypatch):
    alive = []

    def watch(module, name):
        load = getattr(module, name)

        def watched(*arguments, **options):
            import gc
            import weakref
            gc.collect()
            assert not [kept for kept in alive if kept() is not None]
            component = load(*arguments, **options)
            alive.append(weakref.ref(component))
            return component
        monkeypatch.setattr(module, name, watched)
    watch(conversion, 'load_text_encoder')
    watch(conversion, 'load_autoencoder')
    watch(Published, 'transformer')
    watch(Published, 'point_encoder')
    convert_published(published.sd3, published.pickle, tmp_path / 'model')
    assert len(alive) == 6


def test_large_components_are_written_in_shards(published, tmp_path):
    convert_published(published.sd3, published.pickle, tmp_path / 'model', shard_size='100KB')
    assert len(list((tmp_path / 'model' / 'transformer').glob('*.safetensors'))) > 1
    DiceptionPipeline.from_pretrained(tmp_path / 'model')


def test_another_autoencoder_can_be_put_in(published, tmp_path):
    vae = AutoencoderTiny(encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
                          num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1), latent_channels=4)
    vae.save_pretrained(tmp_path / 'taesd')
    convert_published(published.sd3, published.pickle, tmp_path / 'model', vae=tmp_path / 'taesd')
    pipe = DiceptionPipeline.from_pretrained(tmp_path / 'model')
    assert isinstance(pipe.autoencoder, AutoencoderTiny)
    assert pipe.generate(torch.zeros(16, 16, 3).byte().numpy(), 'depth').shape == (1, 3, 16, 16)


def test_an_autoencoder_with_other_latents_is_refused(published, tmp_path):
    AutoencoderTiny(encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
                    num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
                    latent_channels=8).save_pretrained(tmp_path / 'taesd')
    said = refusal(published.sd3, published.pickle, tmp_path, vae=tmp_path / 'taesd')
    assert 'latents of 8 channels, SD3 has 4' in said
    said = refusal(published.sd3, published.pickle, tmp_path, vae=tmp_path)
    assert said.startswith(f'{tmp_path}/config.json: missing')


def test_sdxl_and_sd35_and_other_things_given_as_sd3_are_recognised(sd3, published, tmp_path):
    assert 'does not exist' in refusal(tmp_path / 'none', published.pickle, tmp_path)
    assert 'no directory with a model_index.json' in refusal(
        published.pickle, published.pickle, tmp_path)
    assert 'no directory with a model_index.json' in refusal(
        sd3 / 'vae', published.pickle, tmp_path)
    rewrite(sd3 / 'transformer' / 'config.json', qk_norm='rms_norm')
    assert 'is Stable Diffusion 3.5' in refusal(sd3, published.pickle, tmp_path)
    rewrite(sd3 / 'model_index.json', _class_name='StableDiffusionXLPipeline')
    assert 'is SDXL' in refusal(sd3, published.pickle, tmp_path)


@pytest.mark.parametrize('name', ['transformer', 'vae', 'text_encoder_3', 'tokenizer_2'])
def test_a_missing_component_of_sd3_is_named(sd3, published, tmp_path, name):
    shutil.rmtree(sd3 / name)
    said = refusal(sd3, published.pickle, tmp_path)
    assert f'{sd3 / name} is missing' in said


@pytest.mark.parametrize('name', ['vae/diffusion_pytorch_model.safetensors',
                                  'text_encoder/model.safetensors',
                                  'text_encoder_3/model.safetensors', 'tokenizer_3/tokenizer.json'])
def test_a_truncated_file_of_sd3_is_named(sd3, published, tmp_path, name):
    file = sd3 / name
    file.write_bytes(file.read_bytes()[:-50])
    assert str(file.parent) in refusal(sd3, published.pickle, tmp_path)


def test_a_text_encoder_that_lacks_weights_is_not_filled_with_random_ones(sd3, published, tmp_path):
    from safetensors.torch import load_file, save_file
    file = sd3 / 'text_encoder' / 'model.safetensors'
    tensors = load_file(file)
    tensors.pop(next(name for name in tensors if name.endswith('q_proj.weight')))
    save_file(tensors, file, metadata={'format': 'pt'})
    assert 'missing or of wrong shape' in refusal(sd3, published.pickle, tmp_path)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(published, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / 'was-run'), 'w'))
    torch.save({'transformer': Malicious()}, tmp_path / 'evil.pth')
    (tmp_path / 'plain.pth').write_bytes(pickle.dumps(Malicious()))
    for name in ('evil.pth', 'plain.pth'):
        said = refusal(published.sd3, tmp_path / name, tmp_path)
        assert name in said and 'refused' in said
    assert not (tmp_path / 'was-run').exists()


def test_damaged_and_foreign_checkpoints_are_told(published, tmp_path):
    content = published.pickle.read_bytes()
    for keep in (0, 10, 1000, len(content) // 2, len(content) - 30):
        (tmp_path / 'cut.pth').write_bytes(content[:keep])
        assert 'cut.pth' in refusal(published.sd3, tmp_path / 'cut.pth', tmp_path)
    torch.save({'state_dict': {}}, tmp_path / 'other.pth')
    assert 'is no DICEPTION checkpoint' in refusal(
        published.sd3, tmp_path / 'other.pth', tmp_path)
    assert 'is not a file' in refusal(published.sd3, tmp_path / 'none.pth', tmp_path)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda s: {'seg_embeddings': s['seg_embeddings']}, "keys missing ['not_seg_embeddings', "),
    (lambda s: s.update(ema=torch.zeros(1)), "unexpected ['ema']"),
    (lambda s: s.update(transformer=torch.zeros(1)), "'transformer' is not a dictionary"),
    (lambda s: s['transformer'].update(extra=torch.zeros(1)), 'unexpected extra'),
    (lambda s: s['transformer'].pop('proj_out.bias').shape and None, 'missing proj_out.bias'),
    (lambda s: s['transformer'].update({'proj_out.bias': torch.zeros(7)}),
     'wrong shape proj_out.bias (7,) instead of (16,)'),
    (lambda s: s['point_embedder'].pop('0.bias').shape and None, 'missing mlp.0.bias'),
    (lambda s: s['point_embedder'].update({'2.weight': torch.zeros(5, 16)}),
     'wrong shape mlp.2.weight (5, 16) instead of (32, 16)'),
    (lambda s: s.update(positional_encoding_gaussian_matrix=torch.zeros(3, 8)),
     'wrong shape positional_encoding_gaussian_matrix (3, 8) instead of (2, 8)'),
    (lambda s: s['seg_embeddings'].update(weight=torch.zeros(1, 5)), 'seg_embeddings.weight'),
    (lambda s: s['transformer']['proj_out.bias'].fill_(float('nan')) is None and None,
     'proj_out.bias is not finite'),
])
def test_every_key_and_shape_of_the_checkpoint_is_checked(
        published, changed_pickle, tmp_path, change, message):
    assert message in refusal(published.sd3, changed_pickle(change), tmp_path)


def test_embeddings_may_be_bare_tensors(published, changed_pickle):
    def change(state):
        state['seg_embeddings'] = state['seg_embeddings']['weight']
    Published(published.sd3, changed_pickle(change))


def test_too_little_disk_is_told_before_anything_is_written(published, tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(output_folder.shutil, 'disk_usage', lambda path: usage(10, 10, 1000))
    assert 'GB of disk' in refusal(published.sd3, published.pickle, tmp_path)


def test_a_disk_that_fills_up_leaves_nothing_half_written(published, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(PromptBank, 'save', full)
    assert 'No space left on device' in refusal(published.sd3, published.pickle, tmp_path)


def test_the_size_is_known_beforehand(published, converted):
    source = Published(published.sd3, published.pickle,
                       extra_prompts=['[[image2semantic]] forklift', '[[image2smoke]]'])
    written = sum(part.nbytes for part in converted[1].values())
    assert written <= source.size_on_disk(torch.bfloat16) <= written + 2 ** 20
