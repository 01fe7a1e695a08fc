"""A finished run on other recordings: what it predicts of them, and how well where their emotions are known."""
