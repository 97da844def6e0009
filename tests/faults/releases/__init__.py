"""Releases of the accounts of tests/faults/domain.py, each as it is written while others run."""
