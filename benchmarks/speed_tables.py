"""Tables of ``RESULTS.md`` on times and memory."""

from __future__ import annotations

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
