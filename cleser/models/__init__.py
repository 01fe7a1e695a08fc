"""The network that every recipe trains: layer mix, token Transformer, embeddings and heads."""

from cleser.models.batch import Batch
from cleser.models.community_map import CommunityMap
from cleser.models.emotion import Embedded, EmotionModel, ModelConfig
from cleser.models.layer_mix import LayerMix
from cleser.models.token_transformer import TokenTransformer

__all__ = [
    "Batch",
    "CommunityMap",
    "Embedded",
    "EmotionModel",
    "LayerMix",
    "ModelConfig",
    "TokenTransformer",
]
