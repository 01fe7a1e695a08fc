"""What cleser takes from torchaudio, in one place: version 2.11 is its last line and checks CUDA when imported."""

from torchaudio.functional import create_dct, forced_align, melscale_fbanks

__all__ = ["create_dct", "forced_align", "melscale_fbanks"]
