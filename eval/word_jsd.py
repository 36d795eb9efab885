"""The old name of `python -m eval.jsd --level word`."""

from eval import jsd

score, main = jsd.score_words, jsd.main_of_words
if __name__ == "__main__":
    jsd.run_command(main)  # type: ignore[attr-defined]
