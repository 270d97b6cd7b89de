"""The tutorials: run their notebooks, and turn notebooks into pages of the site.

    python website/notebooks.py                              # run all, and store the outputs
    python website/notebooks.py docs/tutorials/mining.ipynb  # run one

A notebook needs no Jupyter server here: its cells run one after the other in one namespace, in an empty folder.
Outputs are what a cell prints and the value of its last expression; progress bars on stderr are left out.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
# In the order of preference of a page; what Jupyter calls rich representations.
REPRESENTATIONS = {"image/svg+xml": "_repr_svg_", "text/markdown": "_repr_markdown_"}


def read_notebook(path: Path) -> NotebookNode:
    """Return a notebook that is valid in format 4; nbformat raises ``ValidationError`` otherwise."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def run_notebook(notebook: NotebookNode, name: str) -> None:
    """Run the code cells in an empty working folder and replace their outputs; an exception of a cell passes through."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    before = Path.cwd()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for count, cell in enumerate(cells, start=1):
                cell.outputs = _run_cell(cell.source, namespace, f"{name}, cell {count}", count)
                cell.execution_count = count
        finally:
            os.chdir(before)


def _run_cell(source: str, namespace: dict[str, Any], name: str, count: int) -> list[NotebookNode]:
    tree = ast.parse(source, name)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec", dont_inherit=True), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval", dont_inherit=True), namespace)
    outputs = []
    if printed.getvalue():
        outputs.append(new_output("stream", name="stdout", text=printed.getvalue()))
    if value is not None:
        data = {"text/plain": repr(value)}
        data |= {
            kind: getattr(value, method)() for kind, method in REPRESENTATIONS.items() if hasattr(value, method)
        }
        outputs.append(new_output("execute_result", data, execution_count=count))
    return outputs


def page(notebook: NotebookNode) -> str:
    """Return a notebook as Markdown: text as it is, code and plain outputs as blocks, rich outputs rendered."""
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            parts.extend(_output(output) for output in cell.outputs)
    return "\n\n".join(parts) + "\n"


def _output(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return _block(output.text)
    for kind in REPRESENTATIONS:
        if kind in output.data:
            return str(output.data[kind]).rstrip()
    return _block(output.data["text/plain"])


def _block(text: str) -> str:
    return f"```{{.text .output}}\n{text.rstrip()}\n```"


def main() -> None:
    """Run the notebooks and store their outputs."""
    for path in [Path(each) for each in sys.argv[1:]] or sorted(TUTORIALS.glob("*.ipynb")):
        notebook = read_notebook(path)
        run_notebook(notebook, path.name)
        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    main()
