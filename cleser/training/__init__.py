"""Training that all recipes share: datasets, the loop, checkpoints, several processes; no method stands here."""
