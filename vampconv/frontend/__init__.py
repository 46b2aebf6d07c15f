"""From checkpoints to graphs of ``vamp`` ops: one frontend for each model family."""
