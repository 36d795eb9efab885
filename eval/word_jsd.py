"""`python -m eval.jsd --level word` under its old name, until 1.0."""

from data.command import run_moved

if __name__ == "__main__":
    run_moved("eval.word_jsd", "eval.jsd", "--level", "word")
