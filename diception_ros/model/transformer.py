# SPDX-License-Identifier: Apache-2.0
"""The SD3 transformer (MMDiT) that sees a picture: image tokens and point tokens beside the noise.

DICEPTION (arXiv 2502.17157) concatenates along the token axis: the sample stream is
`[noise tokens ; image tokens]`, both through the same patch embedding and the same positions, and
the context stream is `[prompt tokens ; point tokens]`, the points appended after the context
embedder. Of the output only the noise tokens are kept.

`image_tokens` in the config says how the two halves of the sample stream look at each other:

- 'joint', the published model: all tokens attend to all tokens.
- 'once': image tokens attend to image tokens only and know neither prompt nor time, so their keys
  and values are computed once for all tasks and all steps of a picture; noise tokens and context
  attend to everything. Six tasks of a picture cost 40 % less that way.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import SD3Transformer2DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import Attention

# One (key, value) pair per layer, each (pictures, heads, image tokens, head_dim).
ImageCache = list[tuple[torch.Tensor, torch.Tensor]]


class ImageCacheAttention:
    """Joint attention whose keys and values may include those of cached image tokens."""

    def __call__(self, attn: Attention, hidden_states, encoder_hidden_states=None,
                 attention_mask=None, image_cache=None, record=None):
        """Attend; `record` (a list) receives this call's own (key, value) pair.

        hidden_states (B, N, D) and encoder_hidden_states (B, M, D) or None; image_cache a (key,
        value) pair of (B, heads, K, head_dim). Returns as diffusers' JointAttnProcessor2_0 does.
        """
        def heads(projected):
            return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        def normed(norm, projected):
            return projected if norm is None else norm(projected)

        query = normed(attn.norm_q, heads(attn.to_q(hidden_states)))
        key = normed(attn.norm_k, heads(attn.to_k(hidden_states)))
        value = heads(attn.to_v(hidden_states))
        if record is not None:
            record.append((key, value))
        own = hidden_states.shape[1]
        keys, values = [key], [value]
        if encoder_hidden_states is not None:
            added_query = normed(attn.norm_added_q, heads(attn.add_q_proj(encoder_hidden_states)))
            query = torch.cat([query, added_query], dim=2)
            keys.append(normed(attn.norm_added_k, heads(attn.add_k_proj(encoder_hidden_states))))
            values.append(heads(attn.add_v_proj(encoder_hidden_states)))
        if image_cache is not None:
            keys.append(image_cache[0])
            values.append(image_cache[1])
        attended = F.scaled_dot_product_attention(
            query, torch.cat(keys, dim=2), torch.cat(values, dim=2))
        attended = attended.transpose(1, 2).flatten(2).to(query.dtype)
        sample = attn.to_out[1](attn.to_out[0](attended[:, :own]))
        if encoder_hidden_states is None:
            return sample
        context = attended[:, own:]
        return sample, context if attn.context_pre_only else attn.to_add_out(context)


class DiceptionTransformer(SD3Transformer2DModel):
    """SD3's MMDiT with image and point tokens; loads SD3's and DICEPTION's weights unchanged."""

    @register_to_config
    def __init__(self, sample_size: int = 128, patch_size: int = 2, in_channels: int = 16,
                 num_layers: int = 24, attention_head_dim: int = 64, num_attention_heads: int = 24,
                 joint_attention_dim: int = 4096, caption_projection_dim: int = 1536,
                 pooled_projection_dim: int = 2048, out_channels: int = 16,
                 pos_embed_max_size: int = 192, dual_attention_layers: tuple = (),
                 qk_norm: str | None = None, image_tokens: str = 'joint',
                 image_feature_channels: int = 0):
        """As diffusers', and: image_tokens, see above; image_feature_channels, of an image
        encoder's features per image token (only with image_tokens='once'), 0 = no encoder."""
        super().__init__(
            sample_size=sample_size, patch_size=patch_size, in_channels=in_channels,
            num_layers=num_layers, attention_head_dim=attention_head_dim,
            num_attention_heads=num_attention_heads, joint_attention_dim=joint_attention_dim,
            caption_projection_dim=caption_projection_dim,
            pooled_projection_dim=pooled_projection_dim, out_channels=out_channels,
            pos_embed_max_size=pos_embed_max_size, dual_attention_layers=dual_attention_layers,
            qk_norm=qk_norm)
        if image_tokens not in ('joint', 'once'):
            raise ValueError(f"image_tokens must be 'joint' or 'once', not {image_tokens!r}")
        if image_tokens == 'once':
            self.set_attn_processor(ImageCacheAttention())
        self.image_feature_embedder = None
        if image_feature_channels:
            self.image_feature_embedder = torch.nn.Linear(image_feature_channels, self.inner_dim)

    def encode_image(self, image_latents: torch.Tensor,
                     image_features: torch.Tensor | None = None) -> ImageCache:
        """Keys and values of the image tokens in every layer; only with image_tokens='once'.

        image_latents (pictures, C, h, w); image_features (pictures, F, h / patch, w / patch), where
        the model has an image encoder. Valid for every prompt, point and timestep.
        """
        hidden = self.pos_embed(image_latents).contiguous()       # (pictures, tokens, D)
        if self.image_feature_embedder is not None:
            tokens = image_features.flatten(2).transpose(1, 2)    # (pictures, tokens, F)
            hidden = hidden + self.image_feature_embedder(tokens)
        pictures = hidden.shape[0]
        temb = self.time_text_embed(                              # no time, no prompt
            hidden.new_zeros(pictures),
            hidden.new_zeros(pictures, self.config.pooled_projection_dim))
        cache: ImageCache = []
        last = len(self.transformer_blocks) - 1
        for index, block in enumerate(self.transformer_blocks):
            normed, gate_attn, shift, scale, gate_ff = block.norm1(hidden, emb=temb)
            attended = block.attn(hidden_states=normed, record=cache)
            if index == last:                                     # nobody reads its output
                break
            hidden = hidden + gate_attn[:, None] * attended
            normed = block.norm2(hidden) * (1 + scale[:, None]) + shift[:, None]
            hidden = hidden + gate_ff[:, None] * block.ff(normed)
        return cache

    def forward(self, noise_latents: torch.Tensor, image_latents: torch.Tensor | None,
                prompt_embeds: torch.Tensor, pooled: torch.Tensor,
                point_tokens: torch.Tensor | None, timestep: torch.Tensor,
                image_cache: ImageCache | None = None,
                image_index: torch.Tensor | None = None) -> torch.Tensor:
        """Velocity of the noise latents.

        noise_latents (B, C, h, w), prompt_embeds (B, T, joint_attention_dim), pooled (B, P),
        point_tokens (B, points, D) or None, timestep (B,) in [0, 1000]. image_latents (B, C, h, w)
        in the 'joint' mode; in the 'once' mode either those or `image_cache` from `encode_image`
        with `image_index` (B,), the picture that each row looks at; None = all look at the one
        that is there, or each row at its own. Returns (B, C, h, w).
        """
        height, width = noise_latents.shape[-2:]
        hidden = self.pos_embed(noise_latents).contiguous()       # (B, N, D)
        tokens = hidden.shape[1]
        temb = self.time_text_embed(timestep, pooled)             # (B, D)
        context = self.context_embedder(prompt_embeds)            # (B, T, D)
        if point_tokens is not None:
            context = torch.cat([context, point_tokens], dim=1)

        once = self.config.image_tokens == 'once'
        if once and image_cache is None:
            image_cache = self.encode_image(image_latents)
        if not once:
            hidden = torch.cat([hidden, self.pos_embed(image_latents)], dim=1)  # (B, 2N, D)

        for index, block in enumerate(self.transformer_blocks):
            seen = None
            if once:
                seen = tuple(
                    part.expand(len(hidden), -1, -1, -1) if image_index is None
                    else part[image_index] for part in image_cache[index])
            context, hidden = block(
                hidden_states=hidden, encoder_hidden_states=context, temb=temb,
                joint_attention_kwargs={'image_cache': seen} if once else None)

        hidden = self.proj_out(self.norm_out(hidden[:, :tokens], temb))
        patch = self.config.patch_size                            # (B, N, p * p * C) -> picture
        hidden = hidden.unflatten(1, (height // patch, width // patch))
        hidden = hidden.unflatten(-1, (patch, patch, self.out_channels))
        return hidden.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
