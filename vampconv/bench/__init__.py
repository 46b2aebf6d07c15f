"""Benchmarks: rivals and ours as whole processes, taking turns in one run."""
