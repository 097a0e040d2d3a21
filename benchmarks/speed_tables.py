"""Tables of ``RESULTS.md`` on times and memory."""

from __future__ import annotations

import statistics
from typing import Any

from markdown_table import grid

Document = dict[str, Any]


def steps(document: Document) -> list[str]:
    """Step times and bytes kept for backward, as ratios to BP; where they were paired, to AL by the MSE too."""
    rows = []
    for row in document["rows"]:
        if "way" in row:
            rows.append([row["network"], row["bridge"], row["cuts"], row["way"], f"{row['ms']:.1f}",
                         f"{row['time_ratio']:.2f}", f"{row['to_mse']:.3f}" if "to_mse" in row else "",
                         f"{row['bytes_ratio']:.2f}"])  # fmt: skip
        elif "al_ms" in row:
            rows.append([row["network"], row["bridge"], row["cuts"], "AL, mse", f"{row['al_ms']:.1f}",
                         f"{row['time_ratio']:.2f}", "", f"{row['bytes_ratio']:.2f}"])  # fmt: skip
    columns = [
        "network",
        "bridge",
        "cuts",
        "trained by",
        "ms a step",
        "time / BP",
        "step by step / AL, mse",
        "kept / BP",
    ]
    return grid(columns, rows)


def configurations(document: Document) -> list[str]:
    """Steps of the shipped configurations, AL beside BP; parameters in thousands."""
    rows = [
        [row["pair"], f"{row['al_ms']:.1f} / {row['bp_ms']:.1f}",
         f"{row['time_ratio']:.2f}", f"{row['bytes_ratio']:.2f}",
         *(f"{row[f'al_{when}_parameters'] / 1e3:,.0f} / {row[f'bp_{when}_parameters'] / 1e3:,.0f}"
           for when in ("training", "inference"))]
        for row in document["rows"]
    ]  # fmt: skip
    columns = ["configurations", "ms a step, AL / BP", "time / BP", "kept / BP", "k parameters in training, AL / BP",
               "k parameters at inference, AL / BP"]  # fmt: skip
    return grid(columns, rows)


def throughput(document: Document) -> list[str]:
    """Samples a second."""
    rows = [
        [*(str(value) for value in row["setting"].values()), str(row["processes"]), f"{row['samples_per_second']:.1f}"]
        for row in document["rows"]
    ]
    return grid([*document["rows"][0]["setting"], "processes", "samples a second"], rows)


def named(way: Document) -> str:
    """A way to train, as ``pipeline.py`` writes it, in words."""
    replicas = way["processes"] // way["stages"]
    hybrid = f", {replicas} replicas" if way["spread"] == "pipeline" and replicas > 1 else ""
    parts = f", {way['microbatches']} micro-batches" if way["microbatches"] else ""
    return " ".join(word for word in (way["kind"], way["spread"]) if word) + hybrid + parts


def pipelines(document: Document) -> list[str]:
    """Samples a second of every way to use several processes, as ratios to AL on one; megabytes of each process."""
    rows = []
    for row in document["rows"]:
        case, way = row["case"], row["case"]["way"]
        rows.append([
            case["network"], str(case["cuts"]) if case["cuts"] and way["kind"] == "AL" else "",
            named(way), f"{way['processes']} x {way['threads']}",
            f"{row['samples_per_second']:.1f}", f"{row['of_alone']:.2f}",
            f"{row['limit']:.2f}" if row["limit"] else "", f"{row['efficiency']:.2f}" if row["efficiency"] else "",
            " / ".join("?" if size is None else f"{size / 1e6:.0f}" for size in row["peak_bytes"]),
            " / ".join(f"{size / 1e6:.1f}" for size in row["optimizer_bytes"]),
        ])  # fmt: skip
    columns = ["network", "cuts", "trained by", "processes x threads", "samples a second", "of AL alone", "limit",
               "efficiency", "MB peak", "MB optimizer"]  # fmt: skip
    return grid(columns, rows)


def predictions(document: Document) -> list[str]:
    """Samples a second of pipelines on more devices, beside what was measured and bounds of the BP sibling."""
    rows = [
        [
            row["network"], str(row["devices"]), f"{row['pipeline']:.1f}", f"{row['pipeline'] / row['alone']:.2f}",
            f"{row['measured']:.1f}" if row["measured"] else "",
            f"{row['microbatches']:.1f}" if row["microbatches"] else "", f"{row['data_parallel']:.1f}",
            f"{row['link_megabytes']:.2f}",
        ]
        for row in document["rows"]
    ]  # fmt: skip
    columns = ["network", "devices", "AL pipeline, samples a second", "of AL alone", "measured",
               "GPipe, 1F1B: at most", "ddp: at most", "MB a step on a link"]  # fmt: skip
    return grid(columns, rows)


def shortcuts(document: Document) -> list[str]:
    """Milliseconds of the full and of the shortest path, and what the latter is of what it should be."""
    rows = [
        [
            row["network"], str(row["batch_size"]), str(row["tokens"] or ""), f"{row['full_ms']:.2f}",
            f"{row['first_ms']:.2f}", f"{row['empty_ms']:.2f}", f"{row['share']:.4f}", f"{row['of_expected']:.2f}",
            f"{row['of_modules']:.2f}" if "of_modules" in row else "", f"{row['faster']:.1f}",
        ]
        for row in document["rows"]
    ]  # fmt: skip
    columns = ["network", "batch", "tokens", "full path, ms", "path 1, ms", "empty call, ms", "share of the work",
               "of that share and an empty call", "of its bare modules", "times faster"]  # fmt: skip
    return grid(columns, rows)


def exits(document: Document) -> list[str]:
    """What early exits lose and save over random divisions of held-out data, as one row."""
    rows = document["rows"]
    faster = [row["times_faster"] for row in rows if row["times_faster"] is not None]
    lost = [row["lost"] for row in rows]
    each = zip(*(row["left"] for row in rows))
    columns = ["divisions", "that lose more than promised", "points lost, mean", "most", "leave at each path",
               "times the full path's samples a second"]  # fmt: skip
    own = [
        str(len(rows)), str(sum(row["broken"] for row in rows)), f"{statistics.mean(lost):.3f}", f"{max(lost):.3f}",
        " / ".join(f"{statistics.mean(part):.0%}" for part in each), f"{statistics.median(faster):.2f}",
    ]  # fmt: skip
    return grid(columns, [own])


def exports(document: Document) -> list[str]:
    """Whether files answer as their modules do, by network and format; then how large the published CNN's are."""
    rows = [row for row in document["rows"] if row["checkpoint_megabytes"] is None]
    table = []
    for network, form in dict.fromkeys((row["network"], row["format"]) for row in rows):
        own = [row for row in rows if (row["network"], row["format"]) == (network, form)]
        worst = max((row["difference"] for row in own if row["difference"] is not None), default=float("nan"))
        failed = sum(row["failure"] is not None for row in own)
        table.append([network, form, str(len(own)), str(failed), f"{worst:.1e}"])
    sizes = [
        [row["network"], row["format"], str(row["path"]), f"{row['parameters']:,}", f"{row['megabytes']:.2f}",
         f"{row['checkpoint_megabytes']:.1f}"]
        for row in document["rows"] if row["checkpoint_megabytes"] is not None
    ]  # fmt: skip
    lines = grid(["network", "format", "exports", "failed", "largest difference"], table)
    if sizes:
        columns = ["network", "format", "path", "parameters", "file, MB", "checkpoint, MB"]
        lines += ["", *grid(columns, sizes)]
    return lines
