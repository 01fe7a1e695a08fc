"""One reader a corpus: a function from a folder to a listing of its utterances."""
