"""The base of text sets: tokenized once, encoded by a vocabulary, batched by length and padded on the right with 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypedDict

import numpy as np
import torch
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.data.base import BaseDataModule, Split
from al_lightning.data.options import DataOptions
from al_lightning.data.places import READABLE, split_files
from al_lightning.data.texts.encoded import EncodedTexts, TextBatch
from al_lightning.data.texts.labels import class_number
from al_lightning.data.texts.rows import Rows, RowSource, read_lines, read_rows
from al_lightning.data.texts.token_cache import TokenArrays, cached_tokens, tokenize_rows
from al_lightning.nn import vocabulary as text
from al_lightning.nn.sequence import Tokens


class GivenVocabulary(TypedDict, total=False):
    """An argument without a default: the configuration that a run saves must not say that there is no vocabulary."""

    vocabulary: text.Vocabulary | None


class TextOptions(DataOptions, GivenVocabulary, total=False):
    """Arguments of :class:`TextDataModule` for constructors that pass them on as keywords."""

    max_words: int
    bucketing: bool
    cache_dir: str | None


class TextDataModule(BaseDataModule[TextBatch, EncodedTexts]):
    """Base of text sets: a subclass says where its rows of text and label are.

    Texts are split into words and punctuation, lower-case (torchtext's ``basic_english``), once: the result is kept in
    ``cache_dir``. Training batches hold texts of similar length unless ``bucketing`` is off; validation and test go
    from long to short. A row without text counts as an empty text. The batch that reaches the model is ``(x, y)`` with
    ``x`` :class:`~al_lightning.nn.sequence.Tokens`: (B, T) int64 and the lengths (B,) int64.

    Args:
        root: folder that is searched for the data before the Hugging Face Hub is asked.
        batch_size: texts per batch and process.
        val_fraction: share of the training split that is held out for validation, in [0, 1); 0 turns validation off.
        num_workers: loader processes per process that trains; 0 is fastest, as the tokens are memory-mapped.
        seed: seed of the validation split, label noise and order.
        max_length: largest number of tokens of a text; the rest is cut off, and a message says of how many texts.
        max_words: size of the vocabulary without its two specials: the most frequent words of the training split
            (the rows held out for validation included).
        bucketing: whether a training batch holds texts of similar length, which saves padding; else any texts.
        label_noise: share of the training split (validation included) whose labels are redrawn uniformly from all
            classes.
        noisy_validation: whether redrawn labels stay in the validation split.
        train_samples: number of training rows to use (validation included), a seeded subset in the proportions of
            the whole; all if None. The vocabulary stays that of the whole split.
        predict_from: what to predict instead of the test split: a csv or parquet file with the text columns, or any
            other UTF-8 file with one text per line.
        cache_dir: folder of tokenized text; ``root/.al_lightning`` if None.
        vocabulary: words to use instead of the training split's most frequent ones; a checkpoint keeps the words that
            its model was trained with.

    Raises:
        ValueError: if an argument is out of its range.
    """

    #: Folder below ``root``; also the name of the set in messages.
    folder: str
    #: ``owner/name`` on the Hugging Face Hub; None if the set is not there.
    hub: str | None = None
    #: Columns whose texts are joined by a space.
    text_columns: Sequence[str] = ("text",)
    label_column: str = "label"
    #: Split that is tested on; None holds ``test_fraction`` of the training rows out.
    test_split: str | None = "test"
    #: Of csv files.
    encoding: str = "utf-8"
    raw_batch: ClassVar[type] = TextBatch
    run_time_arguments: ClassVar[frozenset[str]] = BaseDataModule.run_time_arguments | {"cache_dir"}

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
        bucketing: bool = True,
        label_noise: float = 0.0,
        noisy_validation: bool = True,
        train_samples: int | None = None,
        predict_from: str | None = None,
        cache_dir: str | None = None,
        **given: Unpack[GivenVocabulary],
    ) -> None:
        super().__init__(
            root,
            batch_size,
            val_fraction,
            num_workers,
            seed,
            label_noise=label_noise,
            noisy_validation=noisy_validation,
            train_samples=train_samples,
            predict_from=predict_from,
        )
        for name, value in (("max_length", max_length), ("max_words", max_words)):
            if value < 1:
                raise ValueError(f"Expected `{name}` to be at least 1, but got {value}.")
        self._vocabulary = given.get("vocabulary")
        if self._vocabulary is not None:
            text.check_vocabulary(self._vocabulary)
        self.max_length = max_length
        self.max_words = max_words
        self.bucketing = bucketing
        self.cache_dir = Path(cache_dir) if cache_dir is not None else Path(root) / ".al_lightning"

    # ------------------------------------------------------------------ what the model needs to know

    @property
    def vocabulary(self) -> list[str]:
        """Words, ``<pad>`` and ``<unk>`` first; token r is word r. Tokenizes the training split if need be."""
        if self._vocabulary is None:
            arrays = self._arrays("train")
            self._vocabulary = text.make_vocabulary(dict(zip(arrays.words, arrays.counts.tolist())), self.max_words)
            self.record(vocabulary=self._vocabulary)  # so that predicting needs no training text
        return self._vocabulary

    @property
    def vocab_size(self) -> int:
        """Number of words of the vocabulary, specials included."""
        return len(self.vocabulary)

    @property
    def word_counts(self) -> Tensor:
        """How often each word of the vocabulary occurs in the training split, (V,) int64; unknown words at 1."""
        arrays = self._arrays("train")
        tokens = {word: token for token, word in enumerate(self.vocabulary)}
        table = np.array([tokens.get(w, text.UNK) for w in arrays.words], np.int64)
        return torch.from_numpy(np.bincount(table, arrays.counts, minlength=len(tokens)).astype(np.int64))

    # ------------------------------------------------------------------ rows

    def lengths(self, split: Split) -> Tensor | None:
        """Length of every text, by which training batches are made; None without ``bucketing``."""
        return super().lengths(split) if self.bucketing else None

    def source(self, split: str) -> RowSource:
        """Where the rows of one of the set's own splits are."""
        folder = Path(self.root) / self.folder
        files = split_files(folder, split)
        columns = tuple(self.text_columns)
        return RowSource(self.folder, split, files, folder, self.hub, columns, self.label_column, self.encoding)

    def spelled_labels(self, arrays: TokenArrays) -> list[str]:
        """The different labels of a split, as the names of the classes or their numbers spell them."""
        return arrays.label_values

    def prepare_data(self) -> None:
        """Tokenize the training split if its words or its rows are needed; Lightning calls it once per node."""
        fitting = self.trainer is not None and self.trainer.state.fn == "fit"
        if fitting or self._vocabulary is None:
            self._arrays("train")

    def load_split(self, split: Literal["train", "test"]) -> tuple[EncodedTexts, Tensor]:
        """Open the tokens of a split, or of the training split if the set has no test split of its own."""
        own = "train" if split == "train" or self.test_split is None else self.test_split
        arrays = self._arrays(own)
        labels = self._labels(arrays, own)
        samples = self.own_part(labels, split) if self.test_split is None else torch.arange(len(labels))
        return self._encoded(arrays, labels, own), samples

    def load_unlabelled(self, path: Path) -> tuple[EncodedTexts, list[str]]:
        """Read a text per line, or the texts of a csv or parquet file; they are their own names."""
        if path.is_file() and path.suffix.lower() in READABLE:
            columns = tuple(self.text_columns)
            rows = read_rows(RowSource(path.name, "predict", (path,), path.parent, None, columns, None, self.encoding))
        else:
            lines = read_lines(path)
            rows = Rows(lines, ["0"] * len(lines), None, sum(not line.strip() for line in lines))
        arrays = tokenize_rows(rows)
        return self._encoded(arrays, torch.zeros(len(rows.texts), dtype=torch.long), "predict"), rows.texts

    def prepare(self, batch: TextBatch, training: bool = False, epoch: int = 0) -> tuple[Tokens, Tensor]:
        """``(x, y)``: tokens (B, T) int64 with their lengths (B,) int64, and labels (B, ...); nothing is random."""
        return Tokens(batch.tokens, batch.lengths), batch.labels

    def _arrays(self, split: str) -> TokenArrays:
        return cached_tokens(self.source(split), self.cache_dir)

    def _labels(self, arrays: TokenArrays, split: str) -> Tensor:
        """Class numbers (N,) int64 of a split; in sets without classes, numbers (N, D).

        Raises:
            ValueError: if a label is no class, naming the row.
        """
        names = self.class_names or ()
        classes = [class_number(label, names) for label in self.spelled_labels(arrays)]
        labels = np.array([-1 if number is None else number for number in classes], np.int64)[arrays.labels]
        wrong = np.flatnonzero(labels < 0)
        if len(wrong):
            row = int(wrong[0])
            label = self.spelled_labels(arrays)[arrays.labels[row]]
            numbers = f", or 0 to {len(names) - 1}" if "0" not in names and class_number("0", names) == 0 else ""
            spelt = label.lstrip("0") in {name.lstrip("0") for name in names}
            raise ValueError(
                f"Expected labels among {', '.join(names[:20])}{numbers}, but row {row} of the {split} split of "
                f"{self.folder} has {label!r}. Correct the row, or set `class_names`"
                f"{', with names such as 001 in quotation marks.' if spelt else '.'}"
            )
        return torch.from_numpy(labels)

    def _encoded(self, arrays: TokenArrays, labels: Tensor, split: str) -> EncodedTexts:
        cut = int((arrays.lengths > self.max_length).sum())
        if cut:
            rank_zero_info(f"{self.folder}, {split}: {cut} of {len(labels)} texts cut to max_length={self.max_length}.")
        if arrays.empty:
            rank_zero_info(f"{self.folder}, {split}: {arrays.empty} of {len(labels)} rows have no text.")
        return EncodedTexts(arrays, self.vocabulary, labels, self.max_length)
