from eval.tables import aligned, markdown

TABLE = [["name", "a", "long head"], ["x", "0.5", ""], ["longer name", "-10", "1"]]


def test_columns_are_aligned_and_rows_are_not_padded_in_markdown() -> None:
    assert aligned(TABLE) == (
        "name           a  long head\n"
        "x            0.5           \n"
        "longer name  -10          1"
    )  # fmt: skip
    assert markdown(TABLE) == (
        "| name | a | long head |\n"
        "| --- | --- | --- |\n"
        "| x | 0.5 |  |\n"
        "| longer name | -10 | 1 |"
    )  # fmt: skip
