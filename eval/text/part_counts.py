"""The n-gram counts of a folder of texts, each file counted by a task on a Ray cluster."""

from dataclasses import replace
from pathlib import Path

from data.corpus import CorpusOptions, open_corpus
from data.errors import InputError
from data.inputs import expand_user
from data.readers import read_lines
from data.sources import text_files
from data.tokenizers import CODE_POINTS
from eval.core.cluster import ray_cluster, reduce_on_ray
from eval.text.counts import without_padding
from eval.text.reference_counts import ReferenceCounts, count_reference, merge_counts, too_short


def count_folder(options: CorpusOptions, most: int, padding: bool, address: str | None) -> ReferenceCounts:
    """Return the n-gram counts of a folder's lines for n = 1 .. `most`, counted file by file and merged as a tree.

    Counts and vocabulary equal those of `count_reference` for the whole folder; `sha256` is a hash of the counts, as
    after `merge_counts`. Each worker must see the folder at the same path.

    Args:
        options: the folder (`data`), and how its lines are encoded; without a limit of lines.
        most: longest n.
        padding: whether n-grams that contain padding are counted.
        address: address of a Ray cluster; None: one is started on this machine.

    Raises:
        InputError: not a folder, a file cannot be read, no line has `most` characters, or Ray cannot be used.
    """
    folder = expand_user(Path(options.data))
    if not folder.is_dir():
        raise InputError(f"--executor ray: counts the files of a folder; {options.data} is none; leave the flag out")
    # Rare characters are known only when all parts are counted.
    unlimited = replace(options, vocabulary_size=CODE_POINTS)

    def count(file: str) -> ReferenceCounts | None:
        if not any(read_lines(Path(file), options.invalid_utf8)):
            return None
        return count_reference(open_corpus(replace(unlimited, data=file)), most, padding, CODE_POINTS, part=True)

    def join(first: ReferenceCounts | None, second: ReferenceCounts | None) -> ReferenceCounts | None:
        return merge_counts([first, second], first.name, CODE_POINTS) if first and second else first or second

    files = [str(path.resolve()) for path in text_files(folder)]
    with ray_cluster(address):
        merged = reduce_on_ray(files, count, join)
    name = folder.resolve().name
    if merged is None:
        raise InputError(f"{name}: no lines; give a folder with lines of text")
    whole = merge_counts([merged], name, options.vocabulary_size)
    if not without_padding(whole.counts[most], most, whole.tokenizer.size).total:
        raise too_short(name, most)
    return whole
