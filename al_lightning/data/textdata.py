"""Text: tokens in flat arrays, batches of texts of similar length, padded on the right with 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, TypedDict

import numpy as np
import torch
from lightning_utilities.core.rank_zero import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from al_lightning.data.base import ClassificationDataModule, Split, stratified_split
from al_lightning.data.rows import Rows, RowSource, read_lines, split_files
from al_lightning.data.tokens import TokenArrays, cached_tokens, tokenize_rows
from al_lightning.nn import vocabulary as text

#: Seed of a test split by fraction, apart from ``seed``, so that the test texts stay the same for every run.
TEST_SEED = 0


class TextBatch(NamedTuple):
    """What a loader yields: tokens (B, T) int64, right-padded with 0, and labels (B,) int64."""

    tokens: Tensor
    labels: Tensor


class TextOptions(TypedDict, total=False):
    """Arguments of :class:`TextDataModule` that every text set passes on."""

    max_words: int
    label_noise: float
    noisy_validation: bool
    train_samples: int | None
    predict_from: str | None
    cache_dir: str | None
    vocabulary: text.Vocabulary | None


class TextArrays(Dataset[TextBatch]):
    """Texts of a split in a model's vocabulary, indexed by a tensor of sample numbers.

    Args:
        arrays: tokens of the split.
        vocabulary: the model's words, specials first.
        labels: (N,) int64.
        max_length: most tokens of a text.
    """

    def __init__(self, arrays: TokenArrays, vocabulary: Sequence[str], labels: Tensor, max_length: int) -> None:
        tokens = {word: token for token, word in enumerate(vocabulary) if token >= len(text.SPECIALS)}
        self._table: NDArray[np.int64] = np.array([tokens.get(w, text.UNK) for w in arrays.words], np.int64)
        self._arrays = arrays
        self.labels = labels
        self.lengths = torch.from_numpy(np.minimum(arrays.lengths, max_length))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> TextBatch:
        lengths = self.lengths[index]
        x = torch.full((len(index), max(1, int(lengths.max()))), text.PAD)
        rows = x.numpy()
        for row, start, length in zip(rows, self._arrays.offsets[index.numpy()], lengths.tolist()):
            row[:length] = self._table[self._arrays.tokens[start : start + length]]
        return TextBatch(x, self.labels[index])


class TextDataModule(ClassificationDataModule[TextBatch]):
    """Base of text sets: a subclass says where the rows are.

    Text is tokenized once (torchtext's ``basic_english``), in parallel, into arrays that are kept in ``cache_dir``.
    Training batches hold texts of similar length; validation and test go from long to short. A row without text is
    kept as an empty text.

    Args:
        root: folder that is searched for the data before the Hub is.
        batch_size: texts a batch and process.
        val_fraction: share of the training split held out for validation, in [0, 1).
        num_workers: loader processes.
        seed: names split, label noise and order.
        max_length: most tokens of a text; the rest is cut off and counted.
        max_words: size of the vocabulary without its two specials: the most frequent words of the training split
            (the rows held out for validation included).
        label_noise: share of the training split whose labels are redrawn.
        noisy_validation: whether the validation split keeps redrawn labels.
        train_samples: use only so many training samples (validation included), a stratified seeded subset;
            all if None. The vocabulary stays that of the whole split.
        predict_from: a UTF-8 file of one text a line to predict in place of the test split.
        cache_dir: folder of tokenized text; ``root/.al_lightning`` if None.
        vocabulary: words to use in place of the training split's most frequent; checkpoints keep theirs.

    Raises:
        ValueError: if an argument is out of its range.
    """

    #: Folder below ``root``, also the name in messages.
    folder: str
    #: ``owner/name`` on the Hugging Face Hub; None if there is none.
    hub: str | None = None
    text_columns: Sequence[str] = ("text",)
    label_column: str = "label"
    #: Split that is tested on; None splits it off the training rows by ``test_fraction``.
    test_split: str | None = "test"
    test_fraction: float = 0.2
    encoding: str = "utf-8"
    run_time_arguments: ClassVar[frozenset[str]] = ClassificationDataModule.run_time_arguments | {"cache_dir"}

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 64,
        val_fraction: float = 0.1,
        num_workers: int = 0,
        seed: int = 0,
        *,
        max_length: int = 500,
        max_words: int = text.MAX_WORDS,
        label_noise: float = 0.0,
        noisy_validation: bool = True,
        train_samples: int | None = None,
        predict_from: str | None = None,
        cache_dir: str | None = None,
        vocabulary: text.Vocabulary | None = None,
    ) -> None:
        super().__init__(root, batch_size, val_fraction, num_workers, seed, label_noise, noisy_validation)
        for name, value in (("max_length", max_length), ("max_words", max_words), ("train_samples", train_samples)):
            if value is not None and value < 1:
                raise ValueError(f"Expected `{name}` to be at least 1, but got {value}.")
        if vocabulary is not None:
            text.check_vocabulary(vocabulary)
        self.max_length = max_length
        self.max_words = max_words
        self.train_samples = train_samples
        self.predict_from = predict_from
        self.cache_dir = Path(cache_dir) if cache_dir is not None else Path(root) / ".al_lightning"
        self._vocabulary = vocabulary
        self._datasets: dict[str, TextArrays] = {}
        self._indices: dict[str, Tensor] = {}
        self._names: list[str] | None = None

    # ------------------------------------------------------------------ what the model needs to know

    @property
    def vocabulary(self) -> list[str]:
        """Words, ``<pad>`` and ``<unk>`` first; token r is word r. Tokenizes the training split if need be."""
        if self._vocabulary is None:
            arrays = self._arrays("train")
            self._vocabulary = text.make_vocabulary(dict(zip(arrays.words, arrays.counts.tolist())), self.max_words)
            self.record(vocabulary=self._vocabulary)  # predicting needs no training text
        return self._vocabulary

    @property
    def vocab_size(self) -> int:
        """Number of tokens, specials included."""
        return len(self.vocabulary)

    @property
    def word_counts(self) -> Tensor:
        """How often each word of the vocabulary occurs in the training split, (V,) int64; unknown words at 1."""
        arrays = self._arrays("train")
        tokens = {word: token for token, word in enumerate(self.vocabulary)}
        table = np.array([tokens.get(w, text.UNK) for w in arrays.words], np.int64)
        return torch.from_numpy(np.bincount(table, arrays.counts, minlength=len(tokens)).astype(np.int64))

    # ------------------------------------------------------------------ splits

    def source(self, split: str) -> RowSource:
        """Where the rows of one of the set's own splits are."""
        folder = Path(self.root) / self.folder
        files = split_files(folder, split)
        columns = tuple(self.text_columns)
        return RowSource(self.folder, split, files, folder, self.hub, columns, self.label_column, self.encoding)

    def prepare_data(self) -> None:
        """Tokenize what is not tokenized yet; called by Lightning on one process of a node."""
        if self.trainer is None or self.trainer.state.fn == "fit":
            self._arrays("train")

    def setup(self, stage: str) -> None:
        """Load what a stage needs, once."""
        if stage in ("fit", "validate") and "train" not in self._datasets:
            arrays, labels = self._labelled("train")
            kept = torch.arange(len(labels))
            if self.test_split is None:
                kept, _ = stratified_split(labels, self.test_fraction, TEST_SEED, "test_fraction")
            if self.train_samples is not None and self.train_samples < len(kept):
                share = self.train_samples / len(kept)
                _, chosen = stratified_split(labels[kept], share, self.seed, "train_samples as a share")
                kept = kept[chosen]
            noisy, train, val = self.split_labels(labels[kept], self.whole_texts(arrays, kept))
            labels[kept] = noisy
            dataset = self._encoded(arrays, labels, "train")
            self._datasets |= {"train": dataset, "val": dataset}
            self._indices |= {"train": kept[train], "val": self._long_to_short(dataset, kept[val])}
        if stage == "predict" and self.predict_from is not None:
            lines = read_lines(Path(self.predict_from))
            arrays = tokenize_rows(Rows(lines, [0] * len(lines), None, sum(not line.strip() for line in lines)))
            labels = torch.zeros(len(lines), dtype=torch.long)
            self._datasets["predict"] = self._encoded(arrays, labels, "predict")
            self._indices["predict"] = torch.arange(len(lines))
            self._names = lines
        elif stage in ("test", "predict") and stage not in self._datasets:
            own = self.test_split or "train"
            arrays, labels = self._labelled(own)
            kept = torch.arange(len(labels))
            if self.test_split is None:
                _, kept = stratified_split(labels, self.test_fraction, TEST_SEED, "test_fraction")
            dataset = self._encoded(arrays, labels, own)
            self._datasets |= {"test": dataset, "predict": dataset}
            self._indices |= {"test": self._long_to_short(dataset, kept), "predict": kept}

    def dataset(self, split: Split) -> TextArrays:
        """Texts and labels of a split."""
        self._ready(split)
        return self._datasets[split]

    def indices(self, split: Split) -> Tensor:
        """Sample numbers of a split, (N,) int64."""
        self._ready(split)
        return self._indices[split]

    def lengths(self, split: Split) -> Tensor | None:
        """Tokens of every text of the training split, by which batches are made; other splits keep their order."""
        return self.dataset(split).lengths if split == "train" else None

    def prepare(self, batch: TextBatch, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """``(x, y)``: tokens (B, T) int64 and labels (B,) int64; text needs no further work."""
        return batch.tokens, batch.labels

    def on_after_batch_transfer(self, batch: TextBatch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Called by Lightning on every batch, on its device."""
        return self.prepare(batch)

    def sample_names(self) -> list[str] | None:
        """The predicted texts, if they stem from a file."""
        return self._names

    def whole_texts(self, arrays: TokenArrays, samples: Tensor) -> Tensor | None:
        """Which text each of some texts is a part of, where a set has parts; see :meth:`split_labels`."""
        return None

    def class_values(self, arrays: TokenArrays) -> Sequence[int | str]:
        """The labels of the source in the order of the classes: numbers from 0."""
        return range(self.num_classes)

    def _ready(self, split: Split) -> None:
        """Notebooks ask for a loader without a Trainer that calls ``setup``."""
        if split not in self._indices:
            self.setup({"train": "fit", "val": "fit", "test": "test", "predict": "predict"}[split])

    def _arrays(self, split: str) -> TokenArrays:
        return cached_tokens(self.source(split), self.cache_dir)

    def _labelled(self, split: str) -> tuple[TokenArrays, Tensor]:
        """Arrays and labels (N,) int64 of a split.

        Raises:
            ValueError: if a label is no class, naming the row.
        """
        arrays = self._arrays(split)
        if len(arrays.labels) == 0:
            raise ValueError(
                f"Expected at least one row in the {split} split of {self.folder}, but it is empty. "
                f"Look at the files under {self.root!r}."
            )
        classes = {value: label for label, value in enumerate(self.class_values(arrays))}
        table = np.array([classes.get(value, -1) for value in arrays.label_values], np.int64)
        labels = table[arrays.labels]
        if labels.min() < 0:
            row = int(np.flatnonzero(labels < 0)[0])
            raise ValueError(
                f"Expected labels among {', '.join(map(str, list(classes)[:20]))}, but row {row} of the {split} split "
                f"of {self.folder} has {arrays.label_values[arrays.labels[row]]!r}. Correct the row, or set "
                "`class_names`."
            )
        return arrays, torch.from_numpy(labels)

    def _encoded(self, arrays: TokenArrays, labels: Tensor, split: str) -> TextArrays:
        cut = int((arrays.lengths > self.max_length).sum())
        if cut:
            rank_zero_info(f"{self.folder}, {split}: {cut} of {len(labels)} texts cut to max_length={self.max_length}.")
        if arrays.empty:
            rank_zero_info(f"{self.folder}, {split}: {arrays.empty} of {len(labels)} rows have no text.")
        return TextArrays(arrays, self.vocabulary, labels, self.max_length)

    @staticmethod
    def _long_to_short(dataset: TextArrays, indices: Tensor) -> Tensor:
        return indices[dataset.lengths[indices].argsort(descending=True, stable=True)]
