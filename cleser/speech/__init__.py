"""Recordings to tensors: audio, backbones, speaker encoders and stored features."""

from cleser.speech.acoustic import AcousticBackbone
from cleser.speech.alignment import (
    Alignment,
    AlignmentError,
    Alignments,
    Phone,
    load_alignments,
    read_alignment,
    write_textgrid,
)
from cleser.speech.audio import AudioError, load_audio
from cleser.speech.backbones import Backbone, Frames, load_backbone
from cleser.speech.digests import utterance_key, utterance_keys
from cleser.speech.features import Features, extract_features
from cleser.speech.lexical import LexicalContent
from cleser.speech.normalise import standardise
from cleser.speech.pretrained import TransformersBackbone
from cleser.speech.speakers import (
    AcousticSpeakerEncoder,
    ResemblyzerEncoder,
    SpeakerEmbeddings,
    SpeakerEncoder,
    TransformersSpeakerEncoder,
    embed_speakers,
    load_speaker_encoder,
)
from cleser.speech.store import PooledBatch, PooledStore, StoreSettings

__all__ = [
    "AcousticBackbone",
    "AcousticSpeakerEncoder",
    "Alignment",
    "AlignmentError",
    "Alignments",
    "AudioError",
    "Backbone",
    "Features",
    "Frames",
    "LexicalContent",
    "Phone",
    "PooledBatch",
    "PooledStore",
    "ResemblyzerEncoder",
    "SpeakerEmbeddings",
    "SpeakerEncoder",
    "StoreSettings",
    "TransformersBackbone",
    "TransformersSpeakerEncoder",
    "embed_speakers",
    "extract_features",
    "load_alignments",
    "load_audio",
    "load_backbone",
    "load_speaker_encoder",
    "read_alignment",
    "standardise",
    "utterance_key",
    "utterance_keys",
    "write_textgrid",
]
