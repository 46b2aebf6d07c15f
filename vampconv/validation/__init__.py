"""Translation validation: every firing of every rule, computed before and after, on the weights that it met."""
