"""Studies of corpora and backbones: what ``cleser layers`` and ``cleser phonemes`` compute and draw."""
