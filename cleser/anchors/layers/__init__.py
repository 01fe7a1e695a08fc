"""How alike the layers of a speech model describe two languages, and which of them to anchor."""
