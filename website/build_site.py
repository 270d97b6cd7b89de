"""Build the site: stage its pages in build/pages, build build/site, and check every link of the result.

Pages are those of ``docs/``, the notebooks of ``docs/tutorials/``, ``CONTRIBUTING.md`` and ``CHANGELOG.md``. Relative
links between them work in the repository and on the site alike. A page under ``api/`` in the navigation of
``mkdocs.yml`` is made here: the reference of the package it is named after.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from lxml import html
from notebooks import page, read_notebook

ROOT = Path(__file__).parent.parent
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
# Files of the root that are pages, too.
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")


def navigation() -> dict[str, str]:
    """Return the pages that ``mkdocs.yml`` lists, in order, with their titles there (or their names)."""

    def pages(entry: Any, title: str | None = None) -> dict[str, str]:
        if isinstance(entry, str):
            return {entry: title or entry}
        children = entry.items() if isinstance(entry, dict) else ((None, child) for child in entry)
        return {name: found for title, child in children for name, found in pages(child, title).items()}

    return pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])


def stage() -> None:
    """Write the pages and their files to ``build/pages``."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns(".*", "*.ipynb"))
    shutil.copy(ROOT / "website" / "style.css", PAGES)
    titles = navigation()
    for path in PAGES.rglob("*.md"):
        path.write_text(_staged(path.read_text(encoding="utf-8"), titles), encoding="utf-8")
    for path in (ROOT / "docs" / "tutorials").glob("*.ipynb"):
        place = PAGES / "tutorials" / f"{path.stem}.md"
        place.write_text(_staged(page(read_notebook(path)), titles), encoding="utf-8")
    for name in ROOT_PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        (PAGES / name).write_text(_staged(_from_docs(text), titles), encoding="utf-8")
    for name in titles:
        if name.startswith("api/"):
            package = name.removeprefix("api/").removesuffix(".md")
            (PAGES / "api").mkdir(exist_ok=True)
            (PAGES / name).write_text(f"::: {package}\n", encoding="utf-8")


def _staged(text: str, titles: Mapping[str, str]) -> str:
    """Return the text of a page with inclusions and links as the site needs them."""
    text = re.sub(r"^<!-- README\.md: (.+) -->$", lambda match: _section(match[1]), text, flags=re.MULTILINE)
    for name in ROOT_PAGES:
        text = re.sub(rf"\]\(((?:\.\./)*)\.\./{name}", rf"](\g<1>{name}", text)
    text = re.sub(r"(\]\([\w./-]+)\.ipynb\b", r"\1.md", text)
    text = re.sub(
        r"^\|.*", lambda row: re.sub(r"`([^`]*\\\|[^`]*)`", _code_with_bars, row[0]), text, flags=re.MULTILINE
    )
    # A link by the name of a file, which is what helps in the repository, becomes one by the title of the page in the navigation.
    return re.sub(r"\[([\w-]+\.md)\](?=\()", lambda name: f"[{titles.get(name[1], name[1])}]", text)


def _code_with_bars(code: re.Match[str]) -> str:
    """Return code in a cell of a table with its bars; Python-Markdown would show the backslashes before them."""
    return f"<code>{escape(code[1].replace(chr(92) + '|', '|')).replace('|', '&#124;')}</code>"


def _from_docs(text: str) -> str:
    """Return text of the root with links as from ``docs/``."""
    return re.sub(r"\[docs/([\w-]+\.md)\]", r"[\1]", text).replace("](docs/", "](")


def _section(heading: str) -> str:
    """Return the section of the README under a heading, without the heading."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n+(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"README.md has no section {heading!r}")
    return _from_docs(found[1].rstrip())


def broken_links(site: Path) -> list[str]:
    """Return the links and files of a site that lead nowhere, and everything that a page would load from elsewhere."""
    pages = {path: html.parse(path).getroot() for path in sorted(site.rglob("*.html"))}
    anchors = {path: set(root.xpath("//@id | //a/@name")) for path, root in pages.items()}
    found = []
    for path, root in pages.items():
        if path.name == "404.html":  # its links start at the root of a server
            continue
        for kind, link in [(each.getparent().tag, each) for each in root.xpath("//@href | //@src")]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if kind != "a" and parts.scheme != "data":
                    found.append(f"{path.relative_to(site)}: loads {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            missing_anchor = parts.fragment and unquote(parts.fragment) not in anchors.get(target, {parts.fragment})
            if not target.is_file() or missing_anchor:
                found.append(f"{path.relative_to(site)}: {link}")
    return found


def main() -> None:
    """Stage, build and check; exit 1 on a warning or a broken link."""
    stage()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "mkdocs.yml"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout, end="")
    # Zensical's strict mode leaves out what griffe says about docstrings.
    if done.returncode or re.search(r"^griffe:", done.stdout, re.MULTILINE):
        raise SystemExit(1)
    if broken := broken_links(SITE):
        raise SystemExit("\n".join(["broken links:", *broken]))
    print(SITE / "index.html")


if __name__ == "__main__":
    main()
