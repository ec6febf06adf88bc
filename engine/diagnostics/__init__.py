"""Diagnostics: an ensemble beside what was observed. One idea a file; numpy and xarray, never torch."""
