"""Reads a page as a user would: saves the files that it shows, runs its Python, and types its commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from al_lightning.cli.main import main

#: Appended to what a page says, so that a test takes seconds: the page's own arguments stand before and still are checked.
SHORT = {
    "fit": ["--trainer.limit_train_batches=12", "--trainer.limit_val_batches=4", "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
            "--trainer.num_sanity_val_steps=0"],
    "test": ["--trainer.limit_test_batches=2", "--trainer.enable_progress_bar=false"],
    "predict": ["--trainer.enable_progress_bar=false"],
    "inspect": ["--trainer.enable_progress_bar=false"],
    "export": [],
    "reproduce": ["--processes=1"],
}  # fmt: skip
#: What every run of `reproduce` gets.
SHORT_RUN = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1",
             "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]  # fmt: skip


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a language, in order."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```([a-z]+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(m[1], m[2], text[: m.start()].count("\n") + 2) for m in found]


def commands(block: Block) -> list[list[str]]:
    """The commands of a bash block, in words, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    parts = [" ".join(map(shlex.quote, line)).split(" '&&' ") for line in words if line]
    return [shlex.split(part) for line in parts for part in line]


def follow(page: Path, folder: Path, skip: tuple[str, ...] = ()) -> list[str]:
    """Do all that a page says, in a folder.

    Args:
        page: a Markdown file.
        folder: the working directory.
        skip: beginnings of commands that a test cannot do, such as an installation.

    Returns:
        The commands that were run.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    done = []
    for block in blocks(page):
        name = re.match(r"# ([\w.]+\.(?:py|yaml))\n", block.text)
        if name:
            (folder / name[1]).write_text(block.text, encoding="utf-8")
            sys.modules.pop(Path(name[1]).stem, None)
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language == "bash":
            for words in commands(block):
                line = " ".join(words)
                if not line.startswith(skip):
                    type_in(words, folder)
                    done.append(line)
    return done


def shortened(words: list[str]) -> list[str]:
    """A command of this package with the arguments that make it short."""
    command = words[1] if len(words) > 1 else "--help"
    if command not in SHORT or any(w in ("--help", "--print_config") or w.startswith("--model.help") for w in words):
        return words
    more = list(SHORT[command])
    if command == "fit":
        more.append(f"--trainer.max_epochs={2 if any('ckpt_path' in w for w in words) else 1}")
    if command == "reproduce":
        more += [f"--arguments=[{','.join(SHORT_RUN)}]", "--seeds=1"]
    return [*words, *more]


def type_in(words: list[str], folder: Path) -> None:
    """Run one command: this package's in this process, where it takes one, else by the system."""
    if words[0] == "al-lightning" and "--trainer.devices" not in words and "pipeline.yaml" not in words:
        try:
            main(shortened(words)[1:])
        except SystemExit as stopped:  # of `--help`, which is no mistake
            if stopped.code:
                raise AssertionError(f"{' '.join(words)} was refused") from stopped
        return
    if "al_lightning" in words:  # torchrun ... -m al_lightning fit ...
        start = words.index("al_lightning")
        outside = [sys.executable, "-m", "torch.distributed.run", *words[1:start]]
        words = [*outside, *shortened(["al_lightning", *words[start + 1 :]])]
    elif words[0] == "al-lightning":
        words = [str(Path(sys.executable).with_name("al-lightning")), *shortened(words)[1:]]
    elif words[0] == "python":
        words = [sys.executable, *words[1:]]
    outside_run = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "PL_GLOBAL_SEED")}
    done = subprocess.run(words, cwd=folder, env=outside_run, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
