# SPDX-License-Identifier: Apache-2.0
"""The pipeline: what it answers, what it refuses, and that a batch mixes nothing up."""
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from diception_ros.model import DiceptionPipeline
from diception_ros.model.pipeline import STAGES

IMAGE = np.random.default_rng(3).integers(0, 256, (48, 80, 3), dtype=np.uint8)
SQUARE = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def pipe(tiny):
    return DiceptionPipeline.from_pretrained(tiny)


def changed(tiny, folder, **fields):
    """A copy of the tiny model with other fields in its diception.json, loaded."""
    shutil.copytree(tiny, folder)
    file = folder / 'diception.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    return DiceptionPipeline.from_pretrained(folder)


def test_all_tasks_of_a_picture_come_at_the_camera_s_resolution(pipe):
    timings = {}
    seen = pipe(IMAGE, pipe.tasks, points=[(0.4, 0.7)], timings=timings)
    assert seen.depth.shape == (48, 80) and seen.depth.dtype == np.float32
    assert 0 <= seen.depth.min() and seen.depth.max() <= 1
    assert seen.normals.shape == (48, 80, 3)
    assert np.allclose(np.linalg.norm(seen.normals, axis=2), 1, atol=1e-4)
    assert seen.entities.labels.shape == (48, 80)
    assert seen.segmentation.shape == (48, 80) and seen.segmentation.dtype == np.float32
    assert set(seen.semantic) == {'person', 'floor'}
    assert seen.semantic['person'].shape == (48, 80) and seen.semantic['person'].dtype == bool
    assert isinstance(list(seen.poses), list)
    assert seen.restored.shape == (48, 80, 3) and seen.restored.dtype == np.uint8
    assert set(seen.pictures) == set(pipe.tasks)
    assert all(p.shape == (48, 80, 3) and p.dtype == np.float32 for p in seen.pictures.values())
    assert tuple(timings) == STAGES and all(ms >= 0 for ms in timings.values())


def test_poses_are_read_with_the_people_of_the_entity_picture(pipe, monkeypatch):
    given = []
    monkeypatch.setattr(pipe._tasks['pose'], 'decode',
                        lambda picture, masks=None: given.append(masks) or [])
    pipe(IMAGE, ['pose', 'entities'])
    found = pipe(IMAGE, ['pose', 'entities', 'semantic:person'])
    assert given[0] is None
    np.testing.assert_array_equal(given[1], found.people_labels)
    on = found.people_labels > 0
    assert (found.people_labels[on] == found.entities.labels[on]).all()


def test_a_result_is_handed_over_as_soon_as_it_is_read_and_the_slow_ones_last(pipe):
    told = []

    def ready(name, so_far):
        kind, _, detail = name.partition(':')
        field = {'pose': 'poses'}.get(kind, kind)
        found = getattr(so_far, field)
        told.append(name)
        assert found is not None and (not detail or detail in found)

    seen = pipe(IMAGE, ['pose', 'entities', 'depth', 'semantic:person', 'normals'], ready=ready)
    assert told == ['depth', 'semantic:person', 'normals', 'entities', 'pose']
    assert seen.poses is not None


def test_what_was_not_asked_for_is_none(pipe):
    seen = pipe(IMAGE, ['depth'])
    assert seen.normals is None and seen.entities is None and seen.semantic is None
    assert seen.poses is None and seen.segmentation is None and seen.restored is None


def test_a_task_answers_the_same_alone_and_among_others(pipe):
    together = pipe(IMAGE, pipe.tasks, points=[(0.4, 0.7)])
    for name in pipe.tasks:
        alone = pipe(IMAGE, [name], points=[(0.4, 0.7)])
        assert np.allclose(alone.pictures[name], together.pictures[name], atol=1e-5), name


@pytest.mark.parametrize('autoencoder', ['kl', 'tiny', 'guided', None])
@pytest.mark.parametrize('image_tokens', ['joint', 'once'])
def test_every_kind_of_model_paints(tmp_path, autoencoder, image_tokens):
    from tiny_model import write_tiny_model
    folder = write_tiny_model(tmp_path / 'm', autoencoder=autoencoder, image_tokens=image_tokens)
    pipe = DiceptionPipeline.from_pretrained(folder)
    both = pipe.generate([SQUARE, SQUARE[::-1].copy()], ['depth', 'depth'], seed=1)
    assert both.shape == (2, 3, 64, 64) and both.dtype == torch.float32
    assert 0 <= both.min() and both.max() <= 1 and both.std() > 0.01
    assert (both[0] - both[1]).abs().max() > 1e-3                 # it looks at its picture
    alone = pipe.generate(SQUARE[::-1].copy(), 'depth', seed=1)
    assert torch.allclose(alone[0], both[1], atol=1e-4)           # and only at its own


def test_guidance_doubles_only_the_rows_that_ask_for_it(pipe, monkeypatch):
    sizes, velocity = [], pipe._velocity
    monkeypatch.setattr(pipe, '_velocity', lambda latents, *rest: (
        sizes.append(len(latents)), velocity(latents, *rest))[1])
    mixed = pipe.generate(SQUARE, ['depth', 'pose', 'normals'], guidance_scale=[1.0, 2.0, 1.0])
    assert sizes == [2, 2]
    assert torch.allclose(mixed[1], pipe.generate(SQUARE, 'pose', guidance_scale=2.0)[0], atol=1e-5)
    assert torch.allclose(mixed[0], pipe.generate(SQUARE, 'depth')[0], atol=1e-5)
    assert (mixed[1] - pipe.generate(SQUARE, 'pose')[0]).abs().max() > 1e-3


def test_tasks_with_equal_steps_share_a_batch_and_the_picture_is_encoded_once(pipe, monkeypatch):
    calls, velocity, encode = [], pipe._velocity, pipe._encode
    monkeypatch.setattr(pipe, '_velocity', lambda latents, *rest: (
        calls.append(len(latents)), velocity(latents, *rest))[1])
    monkeypatch.setattr(pipe, '_encode', lambda pixels, features: (
        calls.append('encode'), encode(pixels, features))[1])
    pipe(IMAGE, ['normals', 'semantic:person', 'depth', 'entities'], num_inference_steps={
        'normals': 3, 'entities': 1}, guidance_scale={'semantic': 2.0, 'entities': 1.0})
    # depth and entities; person and its guidance; normals 3 times
    assert calls == ['encode', 2, 2, 1, 1, 1]


def test_steps_and_guidance_come_from_the_model_unless_said_otherwise(pipe, monkeypatch):
    asked, paint = [], pipe._paint
    monkeypatch.setattr(pipe, '_paint', lambda images, requests, *rest: (
        asked.extend(requests), paint(images, requests, *rest))[1])
    pipe(IMAGE, ['entities', 'depth'])
    pipe(IMAGE, ['entities'], num_inference_steps=1, guidance_scale=1.0)
    assert [(r.steps, r.guidance) for r in asked] == [(1, 1.0), (2, 2.0), (1, 1.0)]


def test_points_are_stored_in_the_order_of_the_model(tiny, pipe, tmp_path):
    flipped = changed(tiny, tmp_path / 'xy', point_order='xy')
    point = (0.2, 0.9)
    by_camera = pipe(SQUARE, ['segmentation'], points=[point]).pictures['segmentation']
    stored = pipe.generate(SQUARE, 'segmentation', [[point[::-1]]])[0].permute(1, 2, 0).numpy()
    assert np.allclose(by_camera, stored, atol=1e-6)
    other = flipped(SQUARE, ['segmentation'], points=[point]).pictures['segmentation']
    stored = pipe.generate(SQUARE, 'segmentation', [[point]])[0].permute(1, 2, 0).numpy()
    assert np.allclose(other, stored, atol=1e-6)
    assert np.abs(other - by_camera).max() > 1e-3


def test_equal_frames_give_equal_answers_and_the_seed_changes_them(pipe):
    first, again = pipe(IMAGE, ['depth', 'normals']), pipe(IMAGE, ['depth', 'normals'])
    assert np.array_equal(first.depth, again.depth)
    assert not np.array_equal(first.depth, pipe(IMAGE, ['depth'], seed=1).depth)


def test_a_model_trained_from_zeros_starts_from_zeros(tiny, tmp_path):
    zeros = changed(tiny, tmp_path / 'zeros', initial_noise='zeros')
    expected = zeros.generate(SQUARE, 'depth', latents=torch.zeros(1, 4, 32, 32))
    assert torch.equal(zeros.generate(SQUARE, 'depth', seed=7), expected)


def test_the_pairs_of_a_single_prompt_need_no_list_around_them(pipe):
    for pairs in ([(0.3, 0.5)], [[0.3, 0.5], [0.7, 0.2]]):
        expected = pipe.generate(SQUARE, ['segmentation'], [pairs])
        assert torch.equal(pipe.generate(SQUARE, 'segmentation', pairs), expected)
    without = pipe.generate(SQUARE, 'segmentation')
    assert (expected - without).abs().max() > 1e-3
    for none in ([None], [[]]):
        assert torch.equal(pipe.generate(SQUARE, 'segmentation', none), without)


def test_texts_and_keys_name_the_same_prompt(pipe):
    assert torch.equal(pipe.generate(SQUARE, '[[image2depth]]'), pipe.generate(SQUARE, 'depth'))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision_stays_close_and_halves_the_memory(tiny, pipe, dtype):
    half = DiceptionPipeline.from_pretrained(tiny, dtype=dtype)
    asked = dict(tasks=['depth', 'segmentation'], points=[(0.4, 0.7)])
    exact, close = pipe(IMAGE, **asked), half(IMAGE, **asked)
    assert np.abs(exact.depth - close.depth).mean() < 0.01
    assert np.abs(exact.segmentation - close.segmentation).mean() < 0.01
    assert half.memory()['transformer'] == pipe.memory()['transformer'] / 2
    assert set(half.memory()) == {'transformer', 'point_encoder', 'vae', 'prompts'}
    assert half.point_encoder.positional_encoding_gaussian_matrix.dtype == torch.float32


@pytest.mark.parametrize(('decoding', 'tolerance'), [('slices', 1e-5), ('tiles', 0.05)])
def test_decoding_in_parts_gives_nearly_the_same(tiny, pipe, decoding, tolerance):
    parts = DiceptionPipeline.from_pretrained(tiny, decoding=decoding)
    difference = np.abs(parts(IMAGE, ['depth', 'normals']).depth - pipe(IMAGE, ['depth']).depth)
    assert difference.mean() < tolerance


def test_int8_weights_take_less_memory_and_stay_close(tiny, pipe):
    pytest.importorskip('torchao', reason='torchao is not installed')
    small = DiceptionPipeline.from_pretrained(tiny, quantize='int8')
    assert small.memory()['transformer'] < 0.5 * pipe.memory()['transformer']
    assert np.abs(small(IMAGE, ['depth']).depth - pipe(IMAGE, ['depth']).depth).mean() < 0.02


def test_int8_without_torchao_says_what_to_install(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchao.quantization', None)
    with pytest.raises(ValueError, match='quantize: int8 needs torchao.*pip install torchao'):
        DiceptionPipeline.from_pretrained(tiny, quantize='int8')


def test_what_takes_one_step_is_handed_over_before_the_first_step_of_what_takes_28(
        pipe, monkeypatch):
    events, velocity = [], pipe._velocity
    monkeypatch.setattr(pipe, '_velocity', lambda *arguments: (
        events.append(len(arguments[0])), velocity(*arguments))[1])
    pipe(IMAGE, ['pose', 'entities', 'normals', 'depth', 'semantic:floor'],
         num_inference_steps={'pose': 28, 'entities': 7, 'semantic': 7, 'depth': 1, 'normals': 1},
         guidance_scale={'pose': 1.0, 'entities': 1.0, 'semantic': 2.0},
         ready=lambda name, so_far: events.append(name))
    assert events == [2, 'normals', 'depth', *[1] * 7, 'entities', *[2] * 7, 'semantic:floor',
                      *[1] * 28, 'pose']


def test_people_painted_early_are_read_after_the_entities_that_tell_them_apart(pipe, monkeypatch):
    asked = dict(tasks=['pose', 'entities', 'semantic:person', 'depth'])
    given, told = [], []
    monkeypatch.setattr(pipe._tasks['pose'], 'decode',
                        lambda picture, masks=None: given.append(masks) or [])
    seen = pipe(IMAGE, **asked, num_inference_steps={'pose': 1, 'entities': 3, 'semantic': 2},
                ready=lambda name, so_far: told.append(name))
    assert told == ['depth', 'semantic:person', 'entities', 'pose']
    np.testing.assert_array_equal(given[0], seen.people_labels)


def test_the_order_of_the_batches_changes_no_result(pipe):
    names = ['entities', 'depth', 'pose', 'semantic:person']
    together = pipe(IMAGE, names)
    again = pipe(IMAGE, names[::-1])
    for name in names:
        assert np.array_equal(together.pictures[name], again.pictures[name]), name


@pytest.fixture
def batches_of(pipe, monkeypatch):
    """Steps and [(prompt, guidance), ...] of every batch that the pipe paints from now on."""
    seen, paint = [], pipe._paint

    def painted(encoded, requests, *rest):
        seen.append(({r.steps for r in requests}, [(r.prompt, r.guidance) for r in requests]))
        return paint(encoded, requests, *rest)

    monkeypatch.setattr(pipe, '_paint', painted)
    return seen


def test_warm_up_runs_every_kind_of_task_one_step(pipe, batches_of):
    pipe.warm_up(size=(32, 24))
    assert all(steps == {1} for steps, _ in batches_of)
    kinds = {prompt.partition(':')[0] for _, rows in batches_of for prompt, _ in rows}
    assert kinds == {'depth', 'normals', 'entities', 'segmentation', 'semantic', 'pose',
                     'restoration'}


@pytest.mark.parametrize('steps, guidance, shapes', [
    (1, 1.0, [6, 5]),                     # all; without a click
    (28, 3.0, [6, 5]),
    (None, None, [4, 1, 3]),              # 1: depth ... ; 2, 2.0: entities; 2: pose; no click
    ({'pose': 28}, {'entities': 1.0}, [4, 1, 3]),  # 2: entities and 28: pose are alike
])
def test_warm_up_runs_each_shape_that_the_settings_will_run_once(
        pipe, batches_of, steps, guidance, shapes):
    names = ['depth', 'normals', 'entities', 'segmentation', 'semantic:person', 'pose']
    told = []
    pipe.warm_up(names, num_inference_steps=steps, guidance_scale=guidance,
                 report=lambda what, done: told.append((what, done)))
    warmed = {(len(rows), rows[0][1] > 1) for _, rows in batches_of}
    assert len(warmed) == len(batches_of) == len(told)
    assert all(steps == {1} for steps, _ in batches_of)
    del batches_of[:]
    for asked in (names, [name for name in names if name != 'segmentation']):
        pipe(IMAGE, asked, points=[(0.5, 0.5)], num_inference_steps=steps, guidance_scale=guidance)
    assert {(len(rows), rows[0][1] > 1) for _, rows in batches_of} == warmed
    assert sorted(size for size, _ in warmed) == sorted(
        shapes + ([1] if (steps, guidance) == (None, None) else []))
    assert told[0][0].startswith(f'warming up: batch 1 of {len(warmed)} (') and told[0][1] == 0
    assert [done for _, done in told] == sorted(done for _, done in told)


def test_a_warm_up_is_ended_by_whoever_is_told_of_it(pipe, batches_of):
    def report(what, done):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe.warm_up(report=report)
    assert len(batches_of) == 1
    assert pipe(IMAGE, ['depth']).depth.shape == (48, 80)


def test_a_warm_up_with_impossible_settings_is_refused_in_one_line(pipe):
    with pytest.raises(ValueError, match='num_inference_steps: 0; expected'):
        pipe.warm_up(num_inference_steps=0)
    with pytest.raises(ValueError, match="no task 'smell'"):
        pipe.warm_up(['smell'])


def test_no_step_copies_or_indexes_more_than_the_first(pipe, monkeypatch):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.seen = []

        def __torch_dispatch__(self, operation, types, arguments=(), options=None):
            self.seen.append(str(operation))
            return operation(*arguments, **(options or {}))

    def of(steps):
        """Operations that fetch rows by number or make a tensor of a list, over all steps."""
        pipe.generate([SQUARE, SQUARE], ['depth', 'pose'], num_inference_steps=steps,
                      guidance_scale=2.0)
        with Counter() as counter:
            pipe.generate([SQUARE, SQUARE], ['depth', 'pose'], num_inference_steps=steps,
                          guidance_scale=2.0)
        return sum(name.startswith(('aten.index.', 'aten.index_put', 'aten.lift_fresh'))
                   for name in counter.seen)

    assert of(1) == of(6) > 0


def test_prompts_of_five_step_groups_stay_on_the_device_up_to_a_bound(tiny, monkeypatch):
    from diception_ros.model import pipeline
    pipe = DiceptionPipeline.from_pretrained(tiny)
    looked_up, lookup = [], pipe.prompts.lookup
    monkeypatch.setattr(pipe.prompts, 'lookup',
                        lambda prompts: (looked_up.append(prompts), lookup(prompts))[1])
    names = ['depth', 'normals', 'entities', 'semantic:person', 'pose', 'restoration:denoise']
    steps = {name: number for number, name in enumerate(names, 1)}
    for _ in range(3):
        pipe(IMAGE, names, num_inference_steps=steps)
    assert len(looked_up) == 6
    one = sum(t.nbytes for t in pipe._embeddings[('depth',)])
    monkeypatch.setattr(pipeline, 'MAX_PROMPT_BYTES', 2 * one)
    pipe._embeddings.clear()
    pipe(IMAGE, ['depth', 'normals'], num_inference_steps={'depth': 1, 'normals': 2})
    pipe(IMAGE, ['depth'])
    pipe(IMAGE, ['pose', 'depth'], num_inference_steps={'depth': 1, 'pose': 9})
    assert list(pipe._embeddings) == [('depth',), ('pose',)]


@pytest.mark.parametrize('size', [(64, 64), (30, 90), (200, 20), (80, 48)])
def test_lanczos_is_that_of_the_published_script(size):
    from plain_diception import lanczos

    from diception_ros.model.pipeline import resize
    ours, plain = resize(IMAGE, size, 'lanczos'), lanczos(IMAGE, size)
    assert ours.dtype == np.uint8 and ours.shape == (size[1], size[0], 3)
    np.testing.assert_array_equal(ours, plain)
    if size != (80, 48):
        assert np.abs(resize(IMAGE, size).astype(int) - plain).mean() > 0.5


def test_a_model_is_resized_for_as_its_directory_says(tiny, tmp_path, monkeypatch):
    from diception_ros.model import pipeline
    told, resize = [], pipeline.resize
    monkeypatch.setattr(pipeline, 'resize', lambda picture, size, resample='area': (
        told.append((picture.dtype.name, resample)), resize(picture, size, resample))[1])
    pipe = changed(tiny, tmp_path / 'lanczos', resample='lanczos')
    pipe(IMAGE, ['depth'])
    assert told == [('uint8', 'lanczos'), ('float32', 'area')]


def test_a_model_says_how_it_paints_categories(tiny, tmp_path, monkeypatch):
    colours = np.zeros((3, 64, 64), np.float32)
    colours[:, 8:28, 8:28] = np.array([0.1, 0.3, 0.05])[:, None, None]
    colours[:, 30:60, 20:60] = np.array([0.2, 0.4, 0.9])[:, None, None]
    seen = {}
    for painting in ('white', 'random', 'auto'):
        pipe = changed(tiny, tmp_path / painting, semantic_painting=painting)
        monkeypatch.setattr(pipe, '_paint', lambda encoded, requests, *rest: torch.from_numpy(
            np.stack([colours] * len(requests))))
        seen[painting] = pipe(SQUARE, ['semantic:person', 'semantic:floor'])
    white = seen['white']
    assert not white.semantic['person'][18, 18] and white.semantic['person'][45, 40]
    assert white.semantic_instances == {} and white.panoptic is None
    for found in (seen['random'], seen['auto']):
        mask, people = found.semantic['person'], found.semantic_instances['person']
        assert mask.dtype == bool and mask[18, 18] and mask[45, 40] and not mask[2, 2]
        assert np.array_equal(mask, people.labels > 0) and np.array_equal(
            mask, found.strengths['person'] > 0.5)
        assert [one.category for one in people.instances] == ['person'] * 2
        assert {one.category for one in found.panoptic.instances} <= {'person', 'floor'}
        assert len(found.panoptic.instances) == 2                 # the same places, in front


def test_opencv_gets_pictures_in_one_block(pipe, monkeypatch):
    from diception_ros.model import pipeline
    blocks, resize = [], pipeline.resize
    monkeypatch.setattr(pipeline, 'resize', lambda picture, *rest: (
        blocks.append(picture.flags.c_contiguous), resize(picture, *rest))[1])
    pipe(IMAGE, ['depth', 'pose', 'entities'])
    assert blocks == [True] * 4


@pytest.mark.parametrize('autoencoder, image_tokens', [('kl', 'joint'), ('guided', 'once')])
def test_a_compiled_model_has_one_graph_for_any_number_of_tasks(
        tmp_path, monkeypatch, autoencoder, image_tokens):
    import functools

    from tiny_model import write_tiny_model
    from torch._dynamo.testing import CompileCounter
    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(torch, 'compile', functools.partial(torch.compile, backend=counter))
    folder = write_tiny_model(tmp_path / 'm', autoencoder=autoencoder, image_tokens=image_tokens)
    plain = DiceptionPipeline.from_pretrained(folder)
    pipe = DiceptionPipeline.from_pretrained(folder, compile=True)
    names = ['depth', 'normals', 'semantic:person', 'semantic:floor', 'restoration:denoise']
    counts = []
    for number in (2, 3, 5, 4):
        seen = pipe(IMAGE, names[:number], num_inference_steps=1, guidance_scale=1.0)
        counts.append(counter.frame_count)
    assert counts[0] > 0 and counts == [counts[0]] * 4
    expected = plain(IMAGE, names[:4], num_inference_steps=1, guidance_scale=1.0)
    for name in names[:4]:
        assert np.allclose(seen.pictures[name], expected.pictures[name], atol=1e-5), name
    torch._dynamo.reset()


@pytest.mark.parametrize('autoencoder', ['kl', 'guided', 'tiny'])
def test_every_decoder_decodes_picture_by_picture(tmp_path, autoencoder):
    from tiny_model import write_tiny_model
    folder = write_tiny_model(tmp_path / 'm', autoencoder=autoencoder)
    whole = DiceptionPipeline.from_pretrained(folder, decoding='batch')
    parts = DiceptionPipeline.from_pretrained(folder, decoding='slices')
    asked = dict(image=[SQUARE, SQUARE[::-1].copy(), SQUARE], prompts=['depth'] * 3)
    assert torch.allclose(whole.generate(**asked), parts.generate(**asked), atol=1e-5)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(image=IMAGE.astype(np.float32)), 'image: expected a uint8 array, not float32'),
    (dict(image=IMAGE[..., 0]), r'image: expected RGB of shape \(H, W, 3\), not \(48, 80\)'),
    (dict(image=IMAGE[:0]), r'image: expected RGB.*\(0, 80, 3\)'),
    (dict(image=None), 'image: expected a uint8 array, not NoneType'),
    (dict(tasks=[]), 'tasks: none given; choose from depth'),
    (dict(tasks=['smell']), "tasks: the model 'tiny' has no task 'smell'; it has depth"),
    (dict(tasks=['semantic:zebra']), "has no task 'semantic:zebra'"),
    (dict(tasks=['segmentation']), r"points: the task 'segmentation' needs at least one"),
    (dict(points=[(0.5, 1.5)]), r'points: .* are not all in \[0, 1\]'),
    (dict(points=[(float('nan'), 0.5)]), r'points: .* are not all in \[0, 1\]'),
    (dict(points=[0.5]), 'points: expected pairs of numbers'),
    (dict(points=[(0.5, 0.5)] * 6), "points: 6 given, the model 'tiny' takes at most 5"),
    (dict(num_inference_steps=0), 'num_inference_steps: 0; expected a whole number'),
    (dict(num_inference_steps={'depth': 1.5}), 'num_inference_steps: 1.5; expected'),
    (dict(num_inference_steps='many'), "num_inference_steps: 'many'; expected"),
    (dict(guidance_scale=float('nan')), 'guidance_scale: nan; expected'),
])
def test_a_question_that_cannot_be_answered_is_refused_in_one_line(pipe, change, message):
    question = {'image': IMAGE, 'tasks': ['depth'], **change}
    with pytest.raises(ValueError, match=message) as caught:
        pipe(question.pop('image'), **question)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(image=IMAGE[:, :70]), 'image: 70x48 pixels; sides must be multiples of 8 up to 128'),
    (dict(image=np.zeros((64, 256, 3), np.uint8)), 'up to 128'),
    (dict(image=[SQUARE, IMAGE]), 'image: 2 pictures for 1 prompts'),
    (dict(image=[SQUARE, IMAGE], prompts=['depth', 'depth']), 'must have one size'),
    (dict(prompts=[]), 'at least one of each'),
    (dict(prompts='fly'), "prompts: 'fly' is not in the bank"),
    (dict(points=[None, None]), 'points: 2 lists for 1 prompts'),
    (dict(guidance_scale=[1.0, 2.0]), 'guidance_scale: 2 values for 1 prompts'),
    (dict(latents=torch.zeros(1, 4, 8, 8)), r'latents: shape \(1, 4, 8, 8\); expected'),
])
def test_generate_refuses_what_does_not_fit_in_one_line(pipe, change, message):
    question = {'image': SQUARE, 'prompts': ['depth'], **change}
    with pytest.raises(ValueError, match=message) as caught:
        pipe.generate(**question)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(device='tpu'), "device: 'tpu'"),
    (dict(device='meta'), "device: 'meta' is not supported; use 'cpu' or 'cuda'"),
    (dict(dtype='int4'), "dtype: 'int4'; use 'auto' or one of float32"),
    (dict(decoding='crumbs'), "decoding: 'crumbs'; use one of auto"),
    (dict(quantize='int2'), "quantize: 'int2'"),
])
def test_options_that_do_not_exist_are_refused(tiny, options, message):
    with pytest.raises(ValueError, match=message):
        DiceptionPipeline.from_pretrained(tiny, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_missing_gpu_is_an_error_and_not_a_slow_answer(tiny):
    with pytest.raises(ValueError, match="'cuda' asked for.*0 CUDA devices.*use 'cpu'"):
        DiceptionPipeline.from_pretrained(tiny, device='cuda')


def test_the_package_can_be_imported_without_torch():
    code = ("import sys; sys.modules['torch'] = None; import diception_ros.model as m; "
            "assert 'DiceptionPipeline' in m.__all__")
    subprocess.run([sys.executable, '-c', code], check=True)
