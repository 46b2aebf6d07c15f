"""Looking at checkpoints and bundles."""
