"""Recordings to tensors: audio, backbones, speaker encoders and stored features."""
