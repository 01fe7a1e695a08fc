"""Files of alignments: Praat's TextGrid, CTM, JSON, and the label files of TIMIT and Buckeye."""
