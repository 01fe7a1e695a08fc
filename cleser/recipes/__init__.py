"""Methods, one readable file each, on one shared training engine."""
