# SPDX-License-Identifier: Apache-2.0
"""The real files will load: names and shapes of SD3 medium and DICEPTION, on a meta device."""
import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel

from diception_ros.model import DiceptionTransformer, PointEncoder
from diception_ros.model.checkpoints import stride_of
from diception_ros.model.conversion import point_state

# transformer/config.json and vae/config.json of stabilityai/stable-diffusion-3-medium-diffusers
SD3_MEDIUM = dict(
    sample_size=128, patch_size=2, in_channels=16, num_layers=24, attention_head_dim=64,
    num_attention_heads=24, joint_attention_dim=4096, caption_projection_dim=1536,
    pooled_projection_dim=2048, out_channels=16, pos_embed_max_size=192)
SD3_VAE = dict(
    in_channels=3, out_channels=3, latent_channels=16, block_out_channels=(128, 256, 512, 512),
    down_block_types=('DownEncoderBlock2D',) * 4, up_block_types=('UpDecoderBlock2D',) * 4,
    layers_per_block=2, norm_num_groups=32, sample_size=1024, scaling_factor=1.5305,
    shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False)


def on_meta(model_class, **config):
    with torch.device('meta'):
        return model_class(**config)


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def test_the_transformer_has_the_tensors_of_sd3_medium_and_no_others():
    transformer = on_meta(DiceptionTransformer, **SD3_MEDIUM)
    assert shapes(transformer) == shapes(on_meta(SD3Transformer2DModel, **SD3_MEDIUM))
    layout = shapes(transformer)
    assert len(layout) == 683                                     # the table of positions with them
    assert round(sum(p.numel() for p in transformer.parameters()) / 1e9, 3) == 2.028
    assert layout['pos_embed.pos_embed'] == (1, 192 * 192, 1536)
    assert layout['pos_embed.proj.weight'] == (1536, 16, 2, 2)
    assert layout['context_embedder.weight'] == (1536, 4096)
    assert layout['time_text_embed.text_embedder.linear_1.weight'] == (1536, 2048)
    assert layout['transformer_blocks.0.norm1.linear.weight'] == (6 * 1536, 1536)
    assert layout['transformer_blocks.0.attn.add_q_proj.weight'] == (1536, 1536)
    assert layout['transformer_blocks.0.ff_context.net.0.proj.weight'] == (6144, 1536)
    assert layout['transformer_blocks.23.norm1_context.linear.weight'] == (2 * 1536, 1536)
    assert 'transformer_blocks.23.ff_context.net.2.weight' not in layout
    assert layout['proj_out.weight'] == (64, 1536)


def test_the_vae_has_the_tensors_of_sd3_medium():
    vae = on_meta(AutoencoderKL, **SD3_VAE)
    assert len(shapes(vae)) == 244
    assert round(sum(p.numel() for p in vae.parameters()) / 1e6, 1) == 83.8
    assert stride_of(vae) == 8


def test_the_point_encoder_takes_the_point_entries_of_the_checkpoint():
    checkpoint = {
        'point_embedder': {'0.weight': torch.empty(2048, 2048, device='meta'),
                           '0.bias': torch.empty(2048, device='meta'),
                           '2.weight': torch.empty(1536, 2048, device='meta'),
                           '2.bias': torch.empty(1536, device='meta')},
        'not_seg_embeddings': {'weight': torch.empty(1, 1536, device='meta')},
        'seg_embeddings': {'weight': torch.empty(1, 1536, device='meta')},
        'positional_encoding_gaussian_matrix': torch.empty(2, 1024, device='meta')}
    expected = {name: tuple(tensor.shape) for name, tensor in point_state(checkpoint).items()}
    assert shapes(on_meta(PointEncoder)) == expected
