"""PyTorch modules that say what a checkpoint computes. Used to verify; the converter never imports them."""
