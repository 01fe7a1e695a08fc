"""Recordings to tensors: audio, backbones and speaker encoders.

Alignments (:mod:`cleser.alignment`) and features (:mod:`cleser.features`) are made of these; their public names can
be imported from here too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cleser.speech.audio import AudioError, load_audio
from cleser.speech.backbones import (
    AcousticBackbone,
    Backbone,
    Frames,
    TransformersBackbone,
    load_backbone,
)
from cleser.speech.digests import utterance_key, utterance_keys
from cleser.speech.speakers import (
    AcousticSpeakerEncoder,
    ResemblyzerEncoder,
    SpeakerEmbeddings,
    SpeakerEncoder,
    TransformersSpeakerEncoder,
    embed_speakers,
    load_speaker_encoder,
)

if TYPE_CHECKING:
    from cleser.alignment import (
        Aligner,
        Alignment,
        AlignmentError,
        Alignments,
        CTCAligner,
        Phone,
        SynthesisAligner,
        load_alignments,
        read_alignment,
        write_textgrid,
    )
    from cleser.features import (
        Features,
        LexicalContent,
        PooledBatch,
        PooledStore,
        Record,
        StoredFeatures,
        StoreSettings,
        extract_features,
        find_sentences,
        remove_sentences,
        sentences_of,
        standardise,
        store_features,
        store_folder,
    )

__all__ = [
    "AcousticBackbone",
    "AcousticSpeakerEncoder",
    "Aligner",
    "Alignment",
    "AlignmentError",
    "Alignments",
    "AudioError",
    "Backbone",
    "CTCAligner",
    "Features",
    "Frames",
    "LexicalContent",
    "Phone",
    "PooledBatch",
    "PooledStore",
    "Record",
    "ResemblyzerEncoder",
    "SpeakerEmbeddings",
    "SpeakerEncoder",
    "StoreSettings",
    "StoredFeatures",
    "SynthesisAligner",
    "TransformersBackbone",
    "TransformersSpeakerEncoder",
    "embed_speakers",
    "extract_features",
    "find_sentences",
    "load_alignments",
    "load_audio",
    "load_backbone",
    "load_speaker_encoder",
    "read_alignment",
    "remove_sentences",
    "sentences_of",
    "standardise",
    "store_features",
    "store_folder",
    "utterance_key",
    "utterance_keys",
    "write_textgrid",
]

# Rooms above this one, imported when one of their names is asked for.
_ABOVE = {
    "cleser.alignment": (
        "Aligner", "Alignment", "AlignmentError", "Alignments", "CTCAligner", "Phone", "SynthesisAligner",
        "load_alignments", "read_alignment", "write_textgrid",
    ),
    "cleser.features": (
        "Features", "LexicalContent", "PooledBatch", "PooledStore", "Record", "StoreSettings", "StoredFeatures",
        "extract_features", "find_sentences", "remove_sentences", "sentences_of", "standardise",
        "store_features", "store_folder",
    ),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    for room, names in _ABOVE.items():
        if name in names:
            return getattr(import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
