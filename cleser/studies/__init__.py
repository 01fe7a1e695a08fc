"""Studies of corpora and backbones: what the commands layers, phonemes and communities compute and draw."""
