"""Evaluation: the field's metrics, benchmarks with exact truth, reports."""
