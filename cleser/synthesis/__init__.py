"""Speech from text by espeak-ng, and a corpus made of it whose styles, phones and language gap are known."""
