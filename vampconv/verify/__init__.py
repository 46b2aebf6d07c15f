"""Verification: a bundle, value by value, against the PyTorch reference on the checkpoints it was made from."""
