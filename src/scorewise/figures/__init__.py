"""Figures and tables of the sources, one file each."""
