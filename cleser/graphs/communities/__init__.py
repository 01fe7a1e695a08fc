"""Communities of a graph: Leiden, and a refinement by what the nodes are like."""
