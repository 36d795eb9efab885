import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from data import grammar
from data.errors import InputError
from data.json_lines import is_json_lines, read_field, require_no_json
from data.sources import absolute_source, moved, open_source, pooled, with_field
from tests.helpers.text import write_lines


def write_objects(path: Path, objects: list[Any]) -> Path:
    data = "".join(f"{json.dumps(each)}\n" for each in objects).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def lines_at(path: Path, field: str) -> list[str]:
    return [line for block in read_field(path, field) for line in block]


OBJECTS = [
    {"id": 1, "text": "a cat", "meta": {"title": "A", "n.b": "x"}, "choices": [{"text": "one"}, {"text": "two"}]},
    {"id": 2, "text": "two\nlines\r\nand \u2028 é", "meta": {"title": ""}, "choices": [{"text": None}, {"text": "4"}]},
]


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "s.txt"])
@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("text", ["a cat", "two lines and \u2028 é"]),
        ("meta.title", ["A", ""]),
        ("choices.0.text", ["one", ""]),
        ("choices.1.text", ["two", "4"]),
    ],
)
def test_a_field_is_read_wherever_it_lies(tmp_path: Path, name: str, field: str, expected: list[str]) -> None:
    path = write_objects(tmp_path / name, OBJECTS)
    assert is_json_lines(path)
    assert lines_at(path, field) == expected


def test_a_name_with_dots_comes_before_its_parts(tmp_path: Path) -> None:
    path = write_objects(tmp_path / "s.jsonl", [{"a.b": "whole", "a": {"b": "parts", "c.d": "deep"}}])
    assert (lines_at(path, "a.b"), lines_at(path, "a.c.d")) == (["whole"], ["deep"])


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        ('{"t": "a"}', "text", r":3: no field 'text'; the fields with text: t$"),
        ('{"text": 1}', "text", r":3: field 'text' is a number, not text; the fields with text: none$"),
        ('{"text": true}', "text", r":3: field 'text' is a truth value, not text"),
        ('{"text": NaN}', "text", r":3: field 'text' is a number, not text"),
        ('{"text": ["b"]}', "text", r":3: field 'text' is a list, not text; the fields with text: text\.0$"),
        ('{"text": "b"}', "text.0", r":3: no field 'text\.0'"),
        ('{"text": ["b"]}', "text.1", r":3: no field 'text\.1'"),
        ('{"text": "b\\u0000"}', "text", r":3: field 'text' holds '\\x00'"),
        ('{"text": "\\ud800"}', "text", r":3: field 'text' holds '\\ud800'"),
        ("a line", "text", ":3: not a JSON object; write one object per line, or leave out --field$"),
        ('["text"]', "text", ":3: not a JSON object"),
    ],
)
def test_a_line_without_text_is_refused_by_number(tmp_path: Path, line: str, field: str, message: str) -> None:
    good = '{"text": ["a", "b"]}' if field == "text.1" else '{"text": ["a"]}' if field == "text.0" else '{"text": "a"}'
    path = tmp_path / "s.jsonl"
    write_lines(path, [good, "", line])  # blank lines count as lines, but not as samples
    with pytest.raises(InputError, match=message):
        lines_at(path, field)


def test_a_json_lines_file_without_a_field_is_refused_and_its_fields_are_listed(tmp_path: Path) -> None:
    path = write_objects(tmp_path / "s.jsonl.gz", OBJECTS)
    fields = r"--field NAME: text, meta\.title, meta\.n\.b, choices\.0\.text, choices\.1\.text$"
    with pytest.raises(InputError, match=fields):
        require_no_json(path)
    with pytest.raises(InputError, match=fields):
        with_field(str(path), None)
    with pytest.raises(InputError, match=r"say jsonl:.*s\.jsonl\.gz:FIELD with a field of these: text, meta"):
        open_source(str(path))
    many = write_objects(tmp_path / "many.ndjson", [{f"f{number}": "a" for number in range(20)}])
    with pytest.raises(InputError, match=r"f11, and 8 more$"):
        require_no_json(many)
    text = tmp_path / "text.jsonl"
    write_lines(text, ["{a}", "b"])
    assert not is_json_lines(text)
    require_no_json(text)
    require_no_json(write_objects(tmp_path / "named.txt", OBJECTS))  # read as text, with a note, as before


def test_a_field_of_a_file_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_objects(tmp_path / "a:b.jsonl", OBJECTS)
    spec = with_field(str(path), "meta.title")
    assert spec == f"jsonl:{path}:meta.title"
    source = open_source(spec)
    assert (source.name, list(source.train())) == ("a:b.jsonl:meta.title", [["A", ""]])
    assert source.identity != open_source(f"jsonl:{path}:text").identity
    for other in ("grammar", "hub:x", str(tmp_path), spec):
        assert with_field(other, "text") == other
    monkeypatch.chdir(tmp_path)
    assert absolute_source("jsonl:a:b.jsonl:text") == f"jsonl:{path}:text"
    new = tmp_path / "new" / "data"
    new.mkdir(parents=True)
    assert moved("jsonl:/old/data/x.jsonl:text", new) == []
    write_objects(new / "x.jsonl", OBJECTS)
    assert moved("jsonl:/old/data/x.jsonl:text", new) == [f"jsonl:{new}/x.jsonl:text"]
    with pytest.raises(InputError, match=r"names no field; say jsonl:a\.jsonl:FIELD"):
        open_source("jsonl:a.jsonl")


def test_several_sources_are_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (write_lines(tmp_path / name, lines) for name, lines in (("a|b", ["a", "b"]), ("c\nd", ["a"])))
    spec = pooled([first, second])
    source = open_source(spec)
    assert [line for block in source.train() for line in block] == ["a", "b", "a"]
    assert (source.name, source.held_out) == ("a|b+c\nd", None)
    assert source.identity != open_source(pooled([second, first])).identity
    assert pooled([first]) == first
    monkeypatch.chdir(tmp_path)
    assert absolute_source(pooled(["a|b", "c\nd"])) == spec
    with pytest.raises(InputError, match="given twice; leave one out"):
        pooled([first, second, first])
    for wrong in ("pool:a", 'pool:"a"', "pool:[]", "pool:[1]"):
        with pytest.raises(InputError, match="not a JSON list of sources"):
            open_source(wrong)


def test_an_embedded_source_in_a_pool_has_its_usual_number_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, "TRAIN_LINES", 7)
    found = [line for block in open_source(pooled(["grammar", write_lines(tmp_path / "t", ["a"])])).train()
             for line in block]  # fmt: skip
    assert (found[:7], found[7:]) == (next(grammar.train_lines())[:7], ["a"])
