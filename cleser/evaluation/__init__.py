"""Metrics, statistics that respect speakers, plots and the report."""
