"""A self-contained page of a comparison: HTML, CSS and inline SVG, without scripts or network access."""

from otembed.comparison.page.document import comparison_page

__all__ = ["comparison_page"]
