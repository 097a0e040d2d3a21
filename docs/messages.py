"""Collects every message that the package can answer with, so that the site's search finds what to do about it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "al_lightning"
#: What tells the user something without ending the run.
TELLING = {"warn", "rank_zero_warn"}
#: Which page is about what a part of the package refuses.
PAGES = {
    "callbacks": "[Train](../train.md) and [Networks that grow](../grow.md)",
    "checkpoints": "[Stop and go on](../resume.md)",
    "cli": "[Train](../train.md)",
    "data": "[Your own data](../own_data.md)",
    "experiments": "[Reproduce the paper](../reproduce.md)",
    "inspection": "[Look into layers, leave early](../early_exit.md)",
    "modules": "[Your own network](../own_network.md) and [Arguments](../arguments.md)",
    "nn": "[Your own network](../own_network.md)",
    "serving": "[Export](../export.md)",
    "strategies": "[The layer pipeline](../pipeline.md)",
    "targets": "[Your own data](../own_data.md)",
    "training": "[Several processes](../processes.md) and [Stop and go on](../resume.md)",
}


def template(node: ast.expr) -> str | None:
    """A message as it is written, with ``…`` for what a run fills in; None if it is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (template(node.left) or "…") + (template(node.right) or "…")
    return None


def said(node: ast.expr, helpers: dict[str, ast.FunctionDef]) -> Iterator[str]:
    """The messages that an expression may be: its own text, either side of a choice, or what a helper returns."""
    if isinstance(node, ast.IfExp):
        yield from said(node.body, helpers)
        yield from said(node.orelse, helpers)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in helpers:
        for part in ast.walk(helpers[node.func.id]):
            if isinstance(part, ast.Return) and part.value is not None:
                yield from said(part.value, helpers)
    elif (text := template(node)) is not None and " " in text and not text[0].islower():  # else a part of one
        yield text


def messages() -> dict[str, list[str]]:
    """Every message of the package, by the room that it comes from, sorted."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}
    helpers = {n.name: n for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    found: dict[str, set[str]] = {}
    for file, tree in trees.items():
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(tree):
            call = node.exc if isinstance(node, ast.Raise) else node if isinstance(node, ast.Call) else None
            if not isinstance(call, ast.Call) or not call.args:
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if isinstance(node, ast.Raise) or name in TELLING:
                found.setdefault(room, set()).update(said(call.args[0], helpers))
    return {room: sorted(texts) for room, texts in sorted(found.items()) if texts}


def page() -> str:
    """The page of all messages, in Markdown."""
    lines = [
        "# Every message", "",
        "All sentences with which this library refuses or warns, where `…` stands for what your run had there. Each",
        "says what was expected, what came, and what to do; the search of this site and that of your browser find",
        "them by any of their words. [When something is refused](../refused.md) explains those that need more.", "",
    ]  # fmt: skip
    for room, texts in messages().items():
        about = f"See {PAGES[room]}." if room in PAGES else ""
        lines += [f"## `al_lightning.{room}`", "", about, ""]
        lines += [f"```text\n{text}\n```\n" for text in texts]
    return "\n".join(lines)
