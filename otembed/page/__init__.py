"""Pieces of self-contained pages: the HTML around the sections, styles, tables and inline SVG; torch-free."""
