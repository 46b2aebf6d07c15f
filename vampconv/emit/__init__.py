"""From a compiled graph to a bundle on disk: weights, models, the ledger, the manifest, the commit."""
