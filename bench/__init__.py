"""Benchmarks: each figure is a JSON line, compared with a baseline of the same run."""
