"""The network that every recipe trains: layer mix → token Transformer → utterance embedding → emotion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from cleser.anchors.pooling import pool_phones
from cleser.models.batch import Batch
from cleser.models.community_map import CommunityMap
from cleser.models.input_dropout import InputDropout
from cleser.models.layer_mix import LayerMix, Mix
from cleser.models.segments import exporting, pool_segments
from cleser.models.token_transformer import TokenTransformer
from cleser.settings import check_ranges

LayerViews = Literal["none", "utterances", "tokens"]


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network.

    Attributes:
        dim: Channels of the embeddings.
        depth: Transformer layers over the tokens; 0 pools them without context, which does better on
            corpora of some hundred utterances.
        heads: Attention heads.
        token_view: Whether an utterance is seen by its tokens beside its summary. Without, recipes that have no other
            use for tokens read none, which takes half the time and was one point better between acted corpora.
        token_scale: Weight that the tokens' view of an utterance starts with, beside its summary's.
        input_dropout: Dropout on the features.
        token_dropout: Dropout in the Transformer.
        dropout: Dropout on the utterance embedding. Strong dropout helps, because corpora are small.
        community_dropout: Share of the utterances whose speaker-style communities are withheld in training.

    Raises:
        ValueError: A number is outside its range; or there are Transformer layers over tokens that the network does not
            see.

    >>> ModelConfig(dim=64, depth=2, token_view=True).heads
    4
    """

    dim: int = 128
    depth: int = 0
    heads: int = 4
    token_view: bool = False
    token_scale: float = 0.1
    input_dropout: float = 0.2
    token_dropout: float = 0.3
    dropout: float = 0.6
    community_dropout: float = 0.5

    def __post_init__(self) -> None:
        dropouts = ("input_dropout", "token_dropout", "dropout")
        check_ranges(
            self,
            least={
                "dim": 1,
                "depth": 0,
                "heads": 1,
                **dict.fromkeys((*dropouts, "community_dropout"), 0),
            },
            most={"community_dropout": 1},
            below=dict.fromkeys(dropouts, 1),
        )
        if self.depth > 0 and self.dim % self.heads:
            raise ValueError(
                f"dim is {self.dim}, expected a multiple of the attention heads, {self.heads}, which share the channels"
            )
        if self.depth > 0 and not self.token_view:
            raise ValueError(
                f"depth is {self.depth}, Transformer layers over tokens, and without the token view they have no part "
                "in what is recognised: give --token-view, or --depth 0"
            )


class Embedded(NamedTuple):
    """What the network makes of a batch.

    Attributes:
        utterances: [B, D].
        tokens: [S, D].
        logits: [B, K].
        layers: Each layer's view of the utterances, [L, B, D], before layers are mixed; None unless the network is to
            keep it.
        token_layers: The same of the tokens, [L, S, D].
        attributes: Predicted arousal, valence and dominance, or those of them that are learned, [B, A].
        views: What the layers make of the utterances, before speaker-style communities act on it, [B, D].
    """

    utterances: Tensor
    tokens: Tensor
    logits: Tensor
    layers: Tensor | None = None
    token_layers: Tensor | None = None
    attributes: Tensor | None = None
    views: Tensor | None = None


class EmotionModel(nn.Module):
    """Utterance and token embeddings and emotion logits from pooled layers.

    By default the utterance embedding sees the utterance's summary statistics alone, which are a strong classical
    model. With ``config.token_view`` (SAPA's default) a second view is added: the mean and spread of its tokens in
    context. That learns a corpus by heart sooner, so it starts small, by a scale of its own a channel (LayerScale,
    Touvron et al., 2021).

    Args:
        config: Shape of the network.
        layers: Layers L of the features.
        channels: Channels C of the features.
        classes: Emotions K; none where attributes alone are learned.
        attributes: Arousal, valence, dominance or some of them, A; none where emotions alone are learned.
        mix: How layers become one, see :class:`LayerMix`.
        communities: Most speaker-style communities of an emotion, if the network is to know of them: they are
            read from ``batch.labels["communities"]`` [B, K] where it has them, see :class:`CommunityMap`.
        layer_views: What to keep each layer's view of, which takes a matrix product for every layer: "utterances",
            "tokens" or "none".

    Raises:
        ValueError: ``mix`` or ``layer_views`` is none of these.

    >>> from cleser.models import Batch
    >>> batch = Batch(tokens=torch.zeros(3, 2, 8), offsets=torch.tensor([0, 2, 3]), summaries=torch.zeros(2, 2, 8),
    ...               labels={"emotion": torch.tensor([0, 1])}, phonemes=torch.tensor([5, 6, 5]), weight=torch.ones(2))
    >>> model = EmotionModel(ModelConfig(dim=16), layers=2, channels=8, classes=4)
    >>> embedded: Embedded = model(batch)
    >>> embedded.utterances.shape, embedded.tokens.shape, embedded.logits.shape
    (torch.Size([2, 16]), torch.Size([3, 16]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        layers: int,
        channels: int,
        classes: int,
        attributes: int = 0,
        mix: Mix = "weighted",
        communities: int = 0,
        layer_views: LayerViews = "none",
    ) -> None:
        super().__init__()
        if layer_views not in get_args(LayerViews):
            raise ValueError(
                f"layer_views is {layer_views!r}, expected one of {list(get_args(LayerViews))}"
            )
        self.layer_views = layer_views
        self.input_dropout = InputDropout(config.input_dropout)
        self.token_mix = LayerMix(layers, channels, config.dim, mix)
        self.context = TokenTransformer(
            config.dim, depth=config.depth, heads=config.heads, dropout=config.token_dropout
        )
        self.token_view = config.token_view
        if config.token_view:
            self.pooled = nn.Linear(2 * config.dim, config.dim)
            self.scale = nn.Parameter(torch.full((config.dim,), config.token_scale))
        self.summary_mix = LayerMix(layers, channels, config.dim, mix)
        self.styles = None
        if communities:
            self.styles = CommunityMap(
                classes, communities, config.dim, dropout=config.community_dropout
            )
        self.embed = nn.Sequential(
            nn.LayerNorm(config.dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.dim, config.dim),
            nn.GELU(),
        )
        self.head = self._head(config, classes)
        self.attribute_head = self._head(config, attributes)

    @staticmethod
    def _head(config: ModelConfig, outputs: int) -> nn.Module | None:
        if not outputs:
            return None
        return nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.dim, outputs))

    def forward(self, batch: Batch) -> Embedded:
        """Embed and classify a batch."""
        mixed, token_layers = _mixed(
            self.token_mix, self.input_dropout(batch.tokens), self.layer_views == "tokens"
        )
        tokens = self.context(mixed, batch.offsets)
        views, layers = _mixed(
            self.summary_mix, self.input_dropout(batch.summaries), self.layer_views == "utterances"
        )
        if self.token_view:
            views = views + self.scale * self.pooled(_pooled(tokens, batch.offsets))
        utterances, logits = self.classify(views, batch.labels.get("communities"))
        return Embedded(
            utterances,
            tokens,
            logits,
            layers,
            token_layers,
            None if self.attribute_head is None else self.attribute_head(utterances),
            views,
        )

    def classify(self, views: Tensor, communities: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Utterance embeddings [B, D] and logits [B, K] of views [B, D], see :class:`Embedded`.

        Args:
            views: Views of the utterances.
            communities: Communities of their speakers, int64 [B, K], −1 where unknown; None counts as all unknown.
        """
        if self.styles is not None and communities is not None:
            views = self.styles(views, communities)
        utterances = self.embed(views)
        return utterances, utterances[:, :0] if self.head is None else self.head(utterances)


def _mixed(mix: LayerMix, x: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
    """The mix [N, D] of x [N, L, C] and, where they are kept, each layer's view of it, [L, N, D]."""
    if not keep:
        return mix(x), None
    states = mix.states(x)
    return mix.join(states), states.transpose(0, 1)


def _pooled(tokens: Tensor, offsets: Tensor) -> Tensor:
    """Mean and standard deviation of each utterance's tokens, [B, 2D]."""
    if exporting():
        return pool_segments(tokens, offsets)
    bounds = torch.stack([offsets[:-1], offsets[1:]], 1)
    return pool_phones(tokens[None], [bounds], std=True)
