import csv
import io
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from eval.core.tables import (
    Best,
    Block,
    Format,
    FormatFlags,
    Table,
    aligned,
    as_csv,
    fixed,
    latex,
    latex_text,
    markdown,
    markdown_code,
    markdown_text,
    render,
    tell,
)
from tests.helpers.text import ODD_TEXT

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


def test_latex_is_a_table_of_booktabs() -> None:
    assert latex([["name", "a"], ["x_1", Best("0.5", " (2 %)")], ["[y]", "--1"]]) == (
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "name & a \\\\\n"
        "\\midrule\n"
        "x\\_1 & \\textbf{0.5} (2 \\%) \\\\\n"
        "{[}y{]} & -{}-1 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}"
    )  # fmt: skip
    assert latex_text("a&b\\c~d^e{f}$#±") == (
        r"a\&b\textbackslash{}c\textasciitilde{}d\textasciicircum{}e\{f\}\$\#$\pm$"
    )


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    table: Table = [["漢字", "x"], ["e\u0301a", "1"], ["abcde", Best("2")]]
    assert aligned(table) == "漢字    x\ne\u0301a      1\nabcde  2*"


@pytest.mark.fuzz
@given(st.lists(st.tuples(ODD_TEXT, ODD_TEXT), min_size=1, max_size=4))
def test_no_name_breaks_a_table(rows: list[tuple[str, str]]) -> None:
    table: Table = [("a", "b"), *rows]
    assert len(aligned(table).splitlines()) == len(table)
    lines = markdown(table).splitlines()
    assert len(lines) == len(table) + 1
    for line in lines:
        assert len(re.findall(r"(?:\\.|[^\\|])*\|", line)) == 3
    for line in latex(table).splitlines()[1:-1]:
        bare = re.sub(r"\\[\\&%$#_{}]", "", line)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") == 0
        assert not set(bare) & set("%#_~^<>|")
        assert line.startswith("\\") or bare.count("&") == 1


@pytest.mark.fuzz
@given(st.lists(st.tuples(ODD_TEXT, st.floats(allow_nan=False) | st.none()), min_size=1, max_size=4))
def test_csv_and_json_are_read_back_as_they_were(rows: list[tuple[str, float | None]]) -> None:
    records = [{"name": name, "value": value} for name, value in rows]
    found = list(csv.reader(io.StringIO(as_csv(records), newline="")))
    assert found == [["name", "value"], *([name, "" if value is None else repr(value)] for name, value in rows)]
    if all(value is None or math.isfinite(value) for _, value in rows):
        assert json.loads(render("json", [], records)) == records


def test_markdown_shows_text_and_code_as_they_are() -> None:
    assert markdown_text("jsd_4 _a_ b* `c` <d> [e] a|b\nc\\") == (
        r"jsd_4 \_a\_ b\* \`c\` \<d\> \[e\] a\|b\\nc\\"
    )  # fmt: skip
    assert markdown_code("jsd|n:2|ref:a") == "`jsd|n:2|ref:a`"
    assert markdown_code("ref:``a`") == "``` ref:``a` ```"


BLOCK = Block("scores of a|b", [["", "x"], ["jsd_4", Best("0.5")]], ["said"], ["jsd|n:4"])
RECORDS = [{"name": "jsd_4", "x": 0.5000001}]


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ("text", "scores of a|b\n\n          x\njsd_4  0.5*\n\nsaid\n\njsd|n:4"),
        ("markdown", "scores of a\\|b\n\n|  | x |\n| --- | --- |\n| jsd_4 | **0.5** |\n\n- said\n\n`jsd|n:4`"),
        ("csv", "name,x\njsd_4,0.5000001"),
        ("json", '[{"name": "jsd_4", "x": 0.5000001}]'),
        ("latex", f"% scores of a|b\n% said\n% jsd|n:4\n{latex(BLOCK.table)}"),
    ],
)
def test_a_table_in_each_format(output_format: Format, expected: str) -> None:
    assert render(output_format, [BLOCK], RECORDS) == expected
    if output_format not in ("csv", "json"):
        assert render(output_format, [BLOCK, BLOCK], RECORDS) == f"{expected}\n\n{expected}"


def test_json_may_be_another_value_and_is_never_nan() -> None:
    assert render("json", [BLOCK], RECORDS, {"a": 1}) == '{"a": 1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        render("json", [], [{"a": math.nan}])


def test_what_is_told_stays_out_of_what_a_program_reads(capsys: pytest.CaptureFixture[str]) -> None:
    tell("text", "wrote a")
    tell("json", "wrote b")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("\nwrote a\n", "wrote b\n")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({}, "text"), ({"json": True}, "json"), ({"json": True, "format": "json"}, "json"), ({"format": "csv"}, "csv")],
)
def test_json_is_short_for_its_format(flags: dict[str, Any], expected: str) -> None:
    assert FormatFlags(**flags).output_format == expected


def test_two_formats_are_a_mistake() -> None:
    for other in ("text", "markdown", "csv", "latex"):
        with pytest.raises(InputError, match=f"--json --format {other}: .*leave one out"):
            FormatFlags(json=True, format=other)


@pytest.mark.parametrize(
    ("value", "digits", "sign", "shown"),
    [(-0.00001, 4, "", "0.0000"), (-0.0, 3, "+", "+0.000"), (-0.15, 3, "+", "-0.150"), (12.34567, 4, "", "12.3457")],
)
def test_zero_has_no_minus(value: float, digits: int, sign: str, shown: str) -> None:
    assert fixed(value, digits, sign) == shown
