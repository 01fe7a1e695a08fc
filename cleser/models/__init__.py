"""The network that every recipe trains: layer mix, token Transformer, embeddings and heads."""
