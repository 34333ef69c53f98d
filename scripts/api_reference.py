"""The page of the public functions, from their source: nothing is imported to write it."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "reference" / "api.md"

_HEAD = """\
# In Python and in notebooks

`python scripts/write_reference.py` writes this page from the docstrings of `cbda_jax/api/`.
`python examples/a_run_in_python.py` uses most of it.

```python
from cbda_jax import load_config, open_run, train

run = train(load_config("synthetic", method="cbda", budget=0.05), "runs/mine")
run = open_run("runs/mine")  # the same, at any later time
run.frame("evaluation").plot("step", "miou")
run.draw_score_map(run.image_ids[0])
```

`import cbda_jax` imports no JAX, and no name of this page makes JAX start its devices before a run
or an image needs them: `jax_num_cpu_devices` and the like may be set until then. Whatever is the
user's to mend is an `InputError`, a `ValueError` of one line. All names have types that editors and
pyright see. `pip install 'cbda_jax[notebook]'` adds pandas.
"""
_SECTIONS = {"Args": "Takes", "Attributes": "Has", "Returns": "Gives", "Raises": "Raises"}


def reference() -> str:
    """The whole document."""
    parts = [_HEAD]
    for name, source in _public().items():
        node = _definition(ROOT / source, name)
        parts.append("\n".join(_definition_lines(node, level=2)))
    return "\n".join(parts)


def _public() -> dict[str, str]:
    """The file that defines each public name of the package's table, in the order of the page."""
    files = {
        "load_config": "cbda_jax/api/starting.py",
        "train": "cbda_jax/api/starting.py",
        "open_run": "cbda_jax/api/starting.py",
        "Run": "cbda_jax/api/run.py",
        "draw_score_map": "cbda_jax/api/drawing.py",
        "InputError": "cbda_jax/errors.py",
        "Paused": "cbda_jax/errors.py",
        "AnswersPending": "cbda_jax/annotation/asking.py",
    }
    package = ast.parse((ROOT / "cbda_jax" / "__init__.py").read_text(encoding="utf-8"))
    (table,) = (
        ast.literal_eval(node.value)
        for node in package.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PUBLIC"
    )
    assert table.keys() == files.keys(), f"public names without a page: {table.keys() ^ files}"
    return files


def _definition(path: Path, name: str) -> ast.ClassDef | ast.FunctionDef:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (found,) = (
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
    )
    return found


def _definition_lines(node: ast.ClassDef | ast.FunctionDef, level: int) -> Iterator[str]:
    yield f"{'#' * level} {node.name}"
    yield ""
    if isinstance(node, ast.FunctionDef):
        yield "```python"
        yield _signature(node)
        yield "```"
        yield ""
    yield from _docstring_lines(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef) and level == 2:
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                yield from _definition_lines(inner, level + 1)


def _signature(node: ast.FunctionDef) -> str:
    """As it is called: one line or, where that is long, a line an argument."""
    decorators = {ast.unparse(d) for d in node.decorator_list}
    returns = ast.unparse(node.returns).strip("'") if node.returns else "None"
    if decorators & {"property", "functools.cached_property"}:
        return f"{node.name}: {returns}"
    node.args.args = [argument for argument in node.args.args if argument.arg != "self"]
    # Commas between arguments, not within brackets.
    arguments = re.split(r", (?![^\[]*\])", ast.unparse(node.args))
    spaced = [re.sub(r"(: [^=]+)=", r"\1 = ", argument) for argument in arguments]
    line = f"{node.name}({', '.join(spaced)}) -> {returns}"
    if len(line) > 88:
        inner = "".join(f"    {argument},\n" for argument in spaced)
        line = f"{node.name}(\n{inner}) -> {returns}"
    return line.replace("'", '"')


def _docstring_lines(text: str) -> Iterator[str]:
    """Google's sections as lists, indented lines as code."""
    for block in re.split(r"\n\n(?=\S| {4}\S)", inspect.cleandoc(text)):
        head, _, body = block.partition("\n")
        section = _SECTIONS.get(head.removesuffix(":")) if head.endswith(":") else None
        if section is None:
            if block.startswith("    "):
                block = f"```python\n{inspect.cleandoc(block)}\n```"
            yield from (*block.splitlines(), "")
            continue
        yield f"**{section}**"
        yield ""
        body = textwrap.dedent(body)
        if head == "Returns:":
            yield " ".join(body.split())
        else:
            for item in re.split(r"\n(?=\S)", body):
                name, _, meaning = item.partition(": ")
                yield f"* `{name}`: {' '.join(meaning.split())}"
        yield ""
