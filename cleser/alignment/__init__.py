"""Which phone sounds when: alignments, their files, and aligners that make them."""

from cleser.alignment.aligners.base import Aligner
from cleser.alignment.aligners.ctc import CTCAligner
from cleser.alignment.aligners.synthesis import SynthesisAligner
from cleser.alignment.files.read import read_alignment
from cleser.alignment.files.textgrid_writer import write_textgrid
from cleser.alignment.files.tiers import AlignmentError
from cleser.alignment.folder import Alignments, load_alignments
from cleser.alignment.phones import Alignment, Phone

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
