"""Adds one linear map per speaker-style community to a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CommunityMap(nn.Module):
    r"""Adds to an utterance's channels what its speaker's communities make of them.

    .. math:: y = x + \frac{1}{K} \sum_{e=1}^{K} M_{e, c_e} x

    where :math:`c_e` is the community of the speaker when expressing emotion e, known for the speaker, whatever
    this utterance expresses. Maps begin at zero; an unknown community adds nothing.

    Args:
        emotions: Number of emotions K.
        communities: Most communities C of an emotion.
        dim: Channels D.
        dropout: Share of the utterances whose communities are withheld in training, so that the network can do
            without them, too.

    >>> known = CommunityMap(emotions=2, communities=3, dim=4)
    >>> x = torch.randn(1, 4)
    >>> torch.equal(known(x, torch.tensor([[0, -1]])), x)  # maps begin at zero
    True
    """

    def __init__(self, emotions: int, communities: int, dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.maps = nn.Parameter(torch.zeros(emotions, communities, dim, dim))

    def forward(self, x: Tensor, communities: Tensor) -> Tensor:
        """Map x [B, D].

        Args:
            x: Channels.
            communities: Communities of their speakers, integers [B, K]; those that are not from 0 to C − 1 are unknown.

        Raises:
            ValueError: There is not one of each emotion.
        """
        if communities.ndim != 2 or communities.shape[1] != self.maps.shape[0]:
            raise ValueError(
                f"communities have shape {list(communities.shape)}, expected [B, {self.maps.shape[0]}]: "
                "one of each emotion"
            )
        if self.training and self.dropout:
            withheld = torch.rand(len(x), 1, device=x.device) < self.dropout
            communities = communities.masked_fill(withheld, -1)
        emotions, count = self.maps.shape[:2]
        numbers = torch.arange(count, device=x.device)
        belongs = (communities[..., None] == numbers).flatten(1).to(x.dtype)
        seen = torch.einsum("bj,cij->bci", x, self.maps.flatten(0, 1))
        return x + torch.einsum("bc,bci->bi", belongs, seen) / emotions
