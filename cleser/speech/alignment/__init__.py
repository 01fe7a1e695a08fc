"""Which phone sounds when: alignments, their files, and aligners that make them."""

from cleser.speech.alignment.phones import Alignment, Phone
from cleser.speech.alignment.textgrid_writer import write_textgrid

__all__ = ["Alignment", "Phone", "write_textgrid"]
