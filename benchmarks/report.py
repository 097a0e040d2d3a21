"""Writes benchmarks/RESULTS.md, and the tables of README.md and docs/results.md, from the result files alone.

    python benchmarks/report.py

Every number leads to its file, and by it to command, configuration, seeds, versions, hardware and date. A run whose
configuration has changed since, or was not recorded, is marked. The same files make the same page, to the letter.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_table import grid
from siblings import siblings
from speed_tables import configurations, exits, exports, pipelines, predictions, shortcuts, steps, throughput

from al_lightning.experiments.reproduce import config_hash
from al_lightning.experiments.table import WAYS, mean_sd

FOLDER = Path(__file__).parent / "results"
CHECKOUT = FOLDER.parent.parent
Document = dict[str, Any]


def multilabel(document: Document) -> list[str]:
    """F1 of labels on the test split, of each network and path over its seeds."""
    table = []
    for model in dict.fromkeys(row["model"] for row in document["rows"]):
        own = [row["test"] for row in document["rows"] if row["model"] == model]
        for name in sorted(name for name in own[0] if name.startswith("test_f1")):
            table.append([model, name, mean_sd([test[name] for test in own], 4), str(len(own))])
    return grid(["network", "metric", "test", "seeds"], table)


def about(name: str, document: Document) -> str:
    """Where a table's numbers come from: one environment, or those of all runs."""
    runs = [*document.get("trials", []), *document.get("results", [])]
    each = [run["environment"] for run in runs if run.get("environment")]
    environments = list({json.dumps(told): told for told in each or [document.get("environment", {})]}.values())
    command = f" `{document['command']}`" if document.get("command") else ""
    seed = [f"seed {document['seed']}"] if "seed" in document else []
    said = "; ".join(", ".join([*seed, *surroundings(told)]) for told in environments)
    return f"[`{name}`](results/{name}):{command} {said}.".replace(": ,", ":")


def surroundings(told: Document) -> list[str]:
    """Machine, versions and date of an environment."""
    versions = [f"{package} {told[package]}" for package in ("torch", "lightning", "python") if told.get(package)]
    machine = [told[k] for k in ("processor", "accelerator") if told.get(k)]
    cores = [f"{told['cores']} cores"] if told.get("cores") else []
    threads = [f"{told['threads']} thread{'s' if told['threads'] > 1 else ''}"] if told.get("threads") else []
    return [*machine, *cores, *threads, *versions, *([told["date"]] if told.get("date") else [])]


def state(run: Document) -> str:
    """Whether a run's configuration is still what it was trained with."""
    if not run.get("config_hash"):
        return "not recorded"
    words = run["command"].split()
    try:
        now = config_hash(words[words.index("--config") + 1])
    except (OSError, ValueError):
        return "gone"
    return "as now" if now == run["config_hash"] else "**changed since**"


def groups(results: Sequence[Document]) -> dict[tuple[str, str], list[Document]]:
    """Results of the same run and recipe, over seeds."""
    found: dict[tuple[str, str], list[Document]] = {}
    for run in results:
        found.setdefault((run["name"], run.get("recipe", "tuned")), []).append(run)
    return found


def reached(group: Sequence[Document], way: str) -> str:
    """What the paths of a run reach by one read-out, accuracies in percent; of a run without paths, its only number."""
    measured = group[0].get("metric", "acc")
    metric = f"test_{measured}"
    paths = [name for name in group[0]["test"] if name.startswith(f"{metric}_{way}")]
    if not paths and way == "path":
        paths = [metric]
    digits, factor, unit = (2, 100, "") if measured == "acc" else (4, 1, f" ({measured})")
    each = [mean_sd([run["test"][name] for run in group], digits, factor) for name in paths]
    return " / ".join(each) + (unit if each else "")


def data_of(run: Document, document: Document) -> str:
    """Which training samples a run saw."""
    asked = re.search(r"--data\.train_samples[= ](\d+)", run.get("command", ""))
    samples = run.get("train_samples") or (int(asked[1]) if asked else None)
    return f"**{samples:,} training samples**" if samples else str(document.get("data", "whole set"))


def accuracy(document: Document) -> list[str]:
    """An experiment's runs."""
    rows = []
    for (name, recipe), group in groups(document["results"]).items():
        first = group[0]
        seeds = ", ".join(str(run["seed"]) for run in group)
        best = [run["best_epoch"] for run in group if "best_epoch" in run]
        epochs = mean_sd(best, 1) if best else "?"
        seconds = [run["seconds"] for run in group if run.get("seconds")]
        rows.append([
            name if recipe == "tuned" else f"{name}, paper's recipe", data_of(first, document), seeds,
            *(reached(group, way) for way in WAYS),
            f"{epochs} of {first['epochs']}",
            f"{statistics.mean(seconds):.0f}" if seconds else "", state(first),
            f"`{first['command']}`" if first.get("command") else "",
        ])  # fmt: skip
    columns = ["run", "data", "seeds", *(f"{heading}, path by path" for heading in WAYS.values()), "best epoch",
               "seconds", "configuration", "command of the first seed"]  # fmt: skip
    return grid(columns, rows)


def search(document: Document) -> list[str]:
    """Trials by validation accuracy, the best first."""
    rows = []
    for (name, _), group in groups(document["trials"]).items():
        names = [n for n in group[0]["val"] if n.startswith("val_acc_")]
        means = {n: statistics.mean(trial["val"][n] for trial in group) for n in ["val_acc", *names]}
        best = max(names or ["val_acc"], key=lambda n: means[n])
        paths = {way: [means[n] for n in sorted(names) if n.startswith(f"val_acc_{way}")] for way in WAYS}
        each = [" / ".join(f"{100 * value:.2f}" for value in values) for values in paths.values()]
        seconds = f"{statistics.mean(trial['seconds'] for trial in group):.0f}"
        label = best.removeprefix("val_").removeprefix("acc_") if names else ""
        rows.append((means[best], [name, str(len(group)), f"{100 * means[best]:.2f}", label, *each, seconds]))
    columns = ["trial", "seeds", "best, %", "of", *(f"{heading}, path by path" for heading in WAYS.values()), "seconds"]
    return grid(columns, [row for _, row in sorted(rows, key=lambda pair: -pair[0])])


def sections(documents: dict[str, Document]) -> list[tuple[str, list[str]]]:
    """Headings and the lines below them."""
    kinds: dict[str, list[str]] = {name: [] for name in (
        "Accuracy", "Searches (validation accuracy; test data were not read)", "Step time and memory", "Throughput",
        "Pipelines", "Pipelines on more devices, predicted", "Shortcuts", "Early exits",
        "Exported networks", "Other measurements")}  # fmt: skip
    titles = list(kinds)
    for name, document in documents.items():
        rows = document.get("rows") or [{}]
        if document.get("results") and all("test" in run for run in document["results"]):
            title, table = titles[0], accuracy(document)
        elif "trials" in document:
            title, table = titles[1], search(document)
        elif "pair" in rows[0]:
            title, table = titles[2], configurations(document)
        elif {"way", "al_ms"} & rows[0].keys():
            title, table = titles[2], steps(document)
        elif "setting" in rows[0]:
            title, table = titles[3], throughput(document)
        elif "case" in rows[0]:
            title, table = titles[4], pipelines(document)
        elif "data_parallel" in rows[0]:
            title, table = titles[5], predictions(document)
        elif "of_expected" in rows[0]:
            title, table = titles[6], shortcuts(document)
        elif "broken" in rows[0]:
            title, table = titles[7], exits(document)
        elif "checkpoint_megabytes" in rows[0]:
            title, table = titles[8], exports(document)
        else:
            title, table = titles[9], multilabel(document) if rows and "val_f1" in rows[0] else []
        heading = [f"### {document['title']}", ""] if document.get("title") else []
        note = ["", str(document["note"]).strip()] if document.get("note") and title != titles[3] else []
        kinds[title] += [*heading, *table, *([""] if table else []), about(name, document), *note, ""]
    return list(kinds.items())


def page(documents: dict[str, Document]) -> str:
    """The whole page."""
    text = [
        "# Results",
        "",
        "Written by `python benchmarks/report.py` from the files under `results/`; what each file is about stands in",
        "[`results/README.md`](results/README.md). Accuracies in %, mean ± standard deviation.",
        "",
    ]
    for title, lines in sections(documents):
        text += [f"## {title}", "", *lines]
    return "\n".join(text).rstrip() + "\n"


def accuracies(documents: dict[str, Document]) -> list[str]:
    """Every experiment's runs, path by path, in the read-out that each configuration chose, for docs/results.md."""
    rows = []
    for name, document in documents.items():
        if not document.get("results") or not all("test" in run for run in document["results"]):
            continue
        title = f"[{document.get('title', name)}](../benchmarks/results/{name})"
        for (run, recipe), group in groups(document["results"]).items():
            way = group[0].get("readout", "path").rstrip("0123456789")
            reading = f" (by {WAYS[way]})" if way in WAYS and way != "path" else ""
            paper = "" if recipe == "tuned" else ", paper's recipe"
            mark = "" if state(group[0]) == "as now" else " †"
            rows.append([title, f"{run}{paper}{mark}", reached(group, way if reading else "path") + reading,
                         str(len(group)), data_of(group[0], document)])  # fmt: skip
            title = ""
    return [*grid(["experiment", "run", "test accuracy, path by path", "seeds", "data"], rows), "",
            "† the configuration has changed since, or was not recorded."]  # fmt: skip


def fill(text: str, name: str, lines: Sequence[str]) -> str:
    """Put lines between the two markers of a name.

    Args:
        text: of a page.
        name: of the markers.
        lines: what stands between them afterwards.

    Raises:
        ValueError: if the page lacks them.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    if start not in text or end not in text:
        raise ValueError(f"Expected a page with the lines {start} and {end}, but it has not. Add them.")
    before, after = text.split(start, maxsplit=1)[0], text.split(end)[1]
    return "\n".join([before + start, *lines, end + after])


def pages(documents: dict[str, Document]) -> dict[Path, str]:
    """All pages with numbers, by their paths, as they should be.

    Args:
        documents: the result files.
    """
    readme, docs = CHECKOUT / "README.md", CHECKOUT / "docs" / "results.md"
    beside = fill(docs.read_text(encoding="utf-8"), "siblings", siblings(documents, "../"))
    return {
        FOLDER.parent / "RESULTS.md": page(documents),
        readme: fill(readme.read_text(encoding="utf-8"), "siblings", siblings(documents, "")),
        docs: fill(beside, "results", accuracies(documents)),
    }


def read(folder: Path) -> dict[str, Document]:
    """All result files by their paths below the folder, in the order of their names."""
    files = sorted(folder.rglob("*.json"))
    return {file.relative_to(folder).as_posix(): json.loads(file.read_text(encoding="utf-8")) for file in files}


def main() -> None:
    """Write the pages."""
    argparse.ArgumentParser(description="Write all pages with numbers from the result files.").parse_args()
    for path, text in pages(read(FOLDER)).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
