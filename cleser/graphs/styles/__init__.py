"""Speaker styles: nodes of speakers in emotions, their communities, and how languages mix in them."""
