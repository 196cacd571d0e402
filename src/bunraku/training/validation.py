"""Validation while training."""
def validate(*a): return {}
