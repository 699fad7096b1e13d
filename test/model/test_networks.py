# SPDX-License-Identifier: Apache-2.0
"""The parts of a model by themselves: transformer, point encoder, guided autoencoder."""
import pytest
import torch

from diception_ros.model import DiceptionTransformer, GuidedAutoencoder, PointEncoder

SMALL = dict(sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2,
             attention_head_dim=8, num_attention_heads=4, joint_attention_dim=12,
             caption_projection_dim=32, pooled_projection_dim=6, pos_embed_max_size=4,
             qk_norm='rms_norm')


def transformer(image_tokens):
    torch.manual_seed(0)
    return DiceptionTransformer(**SMALL, image_tokens=image_tokens).eval()


def inputs(rows=3):
    torch.manual_seed(1)
    return (torch.randn(rows, 4, 8, 8), torch.randn(rows, 5, 12), torch.randn(rows, 6),
            torch.randn(rows, 2, 32), torch.tensor([1000.0, 500.0, 20.0])[:rows])


@torch.no_grad()
def test_image_tokens_computed_once_serve_every_row_that_looks_at_the_picture():
    model = transformer('once')
    noise, prompts, pooled, points, time = inputs()
    pictures = torch.randn(2, 4, 8, 8)
    which = torch.tensor([1, 0, 1])
    shared = model(noise, None, prompts, pooled, points, time, model.encode_image(pictures), which)
    alone = model(noise, pictures[which], prompts, pooled, points, time)
    assert torch.allclose(shared, alone, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('image_tokens', ['once', 'joint'])
def test_the_answer_depends_on_picture_prompt_points_and_noise(image_tokens):
    model = transformer(image_tokens)
    noise, prompts, pooled, points, time = inputs()
    image = torch.randn(3, 4, 8, 8)
    given = [noise, image, prompts, pooled, points]
    answer = model(*given, time)
    assert answer.shape == noise.shape
    for index, part in enumerate(given):
        changed = [*given]
        changed[index] = torch.randn_like(part)
        assert not torch.allclose(answer, model(*changed, time), atol=1e-4), index


def test_an_unknown_way_of_seeing_the_picture_is_refused():
    with pytest.raises(ValueError, match='image_tokens'):
        DiceptionTransformer(**SMALL, image_tokens='twice')


def test_the_places_of_points_are_those_of_the_tokens_beneath_them():
    model = transformer('once')
    encoder = PointEncoder(inner_dim=32, num_frequencies=4, hidden_dim=8, grid=4)
    centres = (torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing='ij'), -1)
               .reshape(1, 16, 2) + 0.5) / 4                         # (y, x), row by row
    table = model.pos_embed.cropped_pos_embed(8, 8)
    assert torch.allclose(encoder._place(centres), table, atol=1e-5)


def test_empty_slots_say_the_same_wherever_their_numbers_point():
    torch.manual_seed(0)
    encoder = PointEncoder(inner_dim=32, num_frequencies=4, hidden_dim=8, grid=4)
    given = torch.tensor([[True, False]])
    here = encoder(torch.tensor([[[0.2, 0.7], [0.0, 0.0]]]), given)
    moved = encoder(torch.tensor([[[0.9, 0.1], [0.0, 0.0]]]), given)
    assert here.shape == (1, 2, 32)
    assert not torch.allclose(here[:, 0], moved[:, 0])
    assert torch.equal(here[:, 1], moved[:, 1])


def test_the_decoder_looks_at_the_picture_it_is_guided_by():
    torch.manual_seed(0)
    autoencoder = GuidedAutoencoder(latent_channels=4, encoder_channels=(8, 8, 16),
                                    encoder_blocks=(1, 1, 1), decoder_channels=(8, 8, 8),
                                    decoder_blocks=(1, 1, 1))
    latents, features = autoencoder.encode(torch.randn(2, 3, 32, 48))
    assert latents.shape == (2, 4, 4, 6)
    assert autoencoder.stride == 8
    pictures = autoencoder.decode(latents[:1].expand(2, -1, -1, -1), features)
    assert pictures.shape == (2, 3, 32, 48)
    assert not torch.allclose(pictures[0], pictures[1], atol=1e-4)
