"""A Transformer over the tokens of each utterance, ragged in and ragged out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleser.models.segments import exporting, owners


class TokenTransformer(nn.Module):
    """Puts each token into the context of its utterance.

    Args:
        dim: Channels D.
        depth: Layers; 0 passes tokens through.
        heads: Attention heads.
        dropout: Inside the layers.

    >>> transformer = TokenTransformer(8, depth=1, heads=2)
    >>> transformer(torch.zeros(3, 8), torch.tensor([0, 2, 3])).shape  # two utterances with 2 tokens and 1
    torch.Size([3, 8])
    """

    def __init__(self, dim: int, *, depth: int, heads: int = 4, dropout: float = 0.3) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        # PyTorch wants at least one layer; none is a plain pass-through.
        self.encoder = (
            nn.TransformerEncoder(layer, depth, enable_nested_tensor=False) if depth else None
        )

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """Contextualise tokens [S, D] of utterances that begin at ``offsets`` [B + 1]."""
        if self.encoder is None:
            return tokens
        if not exporting() and not len(tokens):
            return tokens
        if exporting():  # without padding, whose size depends on the data
            owner = owners(offsets, tokens.shape[0])
            alone: Tensor = self.encoder(
                tokens[None], mask=owner[:, None] != owner, is_causal=False
            )[0]
            return alone
        padded, mask = pad(tokens, offsets)
        context: Tensor = self.encoder(padded, src_key_padding_mask=~mask)
        return context[mask]


def pad(tokens: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [S, D] as [B, max S_i, D], with the mask of what is not padding."""
    lengths = offsets.diff()
    mask = torch.arange(int(lengths.max()), device=tokens.device) < lengths[:, None]
    padded = tokens.new_zeros(*mask.shape, tokens.shape[-1])
    padded[mask] = tokens
    return padded, mask
