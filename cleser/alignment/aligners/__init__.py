"""Programs that find when each phone of a recording sounds, given its text."""
