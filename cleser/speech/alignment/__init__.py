"""Which phone sounds when: alignments, their files, and aligners that make them."""

from cleser.speech.alignment.aligner import Aligner
from cleser.speech.alignment.ctc import CTCAligner
from cleser.speech.alignment.folder import Alignments, load_alignments
from cleser.speech.alignment.phones import Alignment, Phone
from cleser.speech.alignment.read import read_alignment
from cleser.speech.alignment.synthesis import SynthesisAligner
from cleser.speech.alignment.textgrid_writer import write_textgrid
from cleser.speech.alignment.tiers import AlignmentError

__all__ = [
    "Aligner",
    "Alignment",
    "AlignmentError",
    "Alignments",
    "CTCAligner",
    "Phone",
    "SynthesisAligner",
    "load_alignments",
    "read_alignment",
    "write_textgrid",
]
