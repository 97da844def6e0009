"""Whence against other event stores that a Python team could take, in one run."""
