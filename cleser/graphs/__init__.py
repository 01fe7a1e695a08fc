"""Speaker-style graphs: exact neighbours under relations, communities and their refinement."""
