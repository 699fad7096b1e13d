# SPDX-License-Identifier: Apache-2.0
"""The pipeline paints what the published code paints, from SD3's files and after conversion."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import golden_cases, paint_cases, write_golden
from plain_diception import grown, lanczos, paint

from diception_ros.model import DiceptionPipeline
from diception_ros.model.conversion import convert_published

GOLDEN = Path(__file__).resolve().parents[3] / 'shared' / 'golden'
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f'no golden data in {GOLDEN}')

@pytest.fixture(scope='module', params=['from_sd3', 'converted'])
def way(request, tmp_path_factory):
    """Two ways to load the published files: (sd3, pickle) -> pipeline."""
    def load(sd3, pickle):
        if request.param == 'from_sd3':
            return DiceptionPipeline.from_sd3(sd3, pickle, dtype='float32')
        folder = tmp_path_factory.mktemp('converted') / 'model'
        convert_published(sd3, pickle, folder, dtype=torch.float32)
        return DiceptionPipeline.from_pretrained(folder, dtype='float32')
    return load


def assert_equal(output, expected):
    difference = np.abs(np.asarray(output, np.float64) - np.asarray(expected))
    assert difference.max() < 1e-3
    assert difference.mean() < 1e-5


def test_it_equals_a_plain_implementation_of_the_facts(way, published):
    pipe = way(published.sd3, published.pickle)
    for arguments, expected in paint_cases(published.sd3, published.pickle):
        assert expected.std() > 0.01                              # a test that could fail
        assert_equal(pipe.generate(*arguments)[0], expected)


def test_it_equals_our_golden_outputs(way, tmp_path):
    pipe = way(*write_golden(tmp_path))
    for arguments, expected in golden_cases():
        assert expected.std() > 0.01
        assert_equal(pipe.generate(*arguments)[0], expected)


def test_our_golden_outputs_depend_on_prompt_points_steps_guidance_and_noise(tmp_path):
    """None of them could change unseen."""
    pipe = DiceptionPipeline.from_sd3(*write_golden(tmp_path), dtype='float32')
    image, prompts, points, steps, guidance, latents = golden_cases()[2][0]
    expected = golden_cases()[2][1]
    for other in [
        (255 - image, prompts, points, steps, guidance, latents),
        (image, ['[[image2depth]]'], points, steps, guidance, latents),
        (image, prompts, [[(0.7, 0.2)]], steps, guidance, latents),
        (image, prompts, points, steps + 1, guidance, latents),
        (image, prompts, points, steps, 2.0, latents),
        (image, prompts, points, steps, guidance, -latents),
    ]:
        with pytest.raises(AssertionError):
            assert_equal(pipe.generate(*other)[0], expected)


def photograph(width, height):
    """A picture like a camera's: smooth, with edges and a little noise; uint8 (H, W, 3)."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:height, :width] / (height, width)[0]
    colours = np.stack([0.5 + 0.4 * np.sin(7 * x + c) * np.cos(5 * y - c) for c in range(3)], 2)
    colours[height // 3:height // 2, width // 5:width // 2] = (0.9, 0.1, 0.2)
    colours[(x + y) > 1.7] *= 0.3
    return (255 * (colours + rng.normal(0, 0.02, colours.shape)).clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize(('width', 'height'), [(160, 110), (130, 210)])
def test_from_photograph_to_output_it_equals_a_plain_implementation(
        way, published, width, height):
    """Through the resizing of the published script, Pillow's LANCZOS, and back."""
    pipe = way(published.sd3, published.pickle)
    assert pipe.config['resample'] == 'lanczos' and pipe.resolution[0] < min(width, height)
    photo = photograph(width, height)
    result = pipe(photo, ['depth'], num_inference_steps=2, seed=4)
    size = pipe.resolution
    latents = torch.randn(1, 4, size[1] // 2, size[0] // 2,
                          generator=torch.Generator().manual_seed(4))
    picture = paint(published.sd3, published.pickle, lanczos(photo, size), '[[image2depth]]', [],
                    2, 1.0, latents)
    expected = grown(picture.permute(1, 2, 0).numpy(), (width, height))
    assert expected.std() > 0.01
    assert_equal(result.pictures['depth'], expected)
    assert_equal(result.depth, expected.mean(axis=2))


@needs_golden
def test_it_equals_the_published_code_on_the_golden_cases(way):
    data = np.load(GOLDEN / 'reference_outputs.npz')
    pipe = way(GOLDEN / 'stable-diffusion-3-tiny', GOLDEN / 'DICEPTION_v1.pth')
    for i, case in enumerate(json.loads(data['cases'].tobytes())):
        output = pipe.generate(
            data[f'image_{i}'], [case['prompt']], [case.get('points')], case['steps'],
            case['guidance'], data[f'latents_{i}'])
        assert_equal(output[0], data[f'output_{i}'])


@needs_golden
def test_golden_cases_of_one_size_come_out_the_same_in_one_mixed_batch():
    data = np.load(GOLDEN / 'reference_outputs.npz')
    pipe = DiceptionPipeline.from_sd3(
        GOLDEN / 'stable-diffusion-3-tiny', GOLDEN / 'DICEPTION_v1.pth')
    cases = [(i, case) for i, case in enumerate(json.loads(data['cases'].tobytes()))
             if data[f'image_{i}'].shape == (128, 128, 3)]
    output = pipe.generate(
        [data[f'image_{i}'] for i, _ in cases], [case['prompt'] for _, case in cases],
        [case.get('points') for _, case in cases], [case['steps'] for _, case in cases],
        [case['guidance'] for _, case in cases],
        np.concatenate([data[f'latents_{i}'] for i, _ in cases]))
    for (i, _), picture in zip(cases, output, strict=True):
        assert_equal(picture, data[f'output_{i}'])
