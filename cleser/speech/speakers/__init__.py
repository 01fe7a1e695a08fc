"""Speaker encoders: a recording to one vector of who speaks, and how."""

from cleser.speech.speakers.acoustic import AcousticSpeakerEncoder
from cleser.speech.speakers.base import SpeakerEncoder
from cleser.speech.speakers.corpus import SpeakerEmbeddings, embed_speakers
from cleser.speech.speakers.dvector import ResemblyzerEncoder
from cleser.speech.speakers.open import load_speaker_encoder
from cleser.speech.speakers.xvector import TransformersSpeakerEncoder

__all__ = [
    "AcousticSpeakerEncoder",
    "ResemblyzerEncoder",
    "SpeakerEmbeddings",
    "SpeakerEncoder",
    "TransformersSpeakerEncoder",
    "embed_speakers",
    "load_speaker_encoder",
]
