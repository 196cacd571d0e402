"""Results for people: a table for the terminal, and a page with plots and clips."""

from bunraku.evaluation.report.page import write_html
from bunraku.evaluation.report.table import Column, column, score_table

__all__ = ["Column", "column", "score_table", "write_html"]
