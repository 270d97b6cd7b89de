"""One self-contained page of a comparison: HTML, CSS and inline SVG, no script, no network."""

from otembed.comparison.page.document import comparison_page

__all__ = ["comparison_page"]
