"""Where SQL statements end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcbook.tools.sql.text import BadNameError, head, name_parts, pieces, quoted, split, words

ROUTINE = (
    "create or replace function f() returns int begin atomic "
    "select case when true then 1 end; select 2; end"
)

CASES = [
    ("", []),
    (" \n ; ;; ", []),
    ("select 1", ["select 1"]),
    ("select 1;", ["select 1"]),
    ("select 1; select 2", ["select 1", "select 2"]),
    ("select ';'; select 2", ["select ';'", "select 2"]),
    ("select 'it''s; fine'; select 2", ["select 'it''s; fine'", "select 2"]),
    (r"select '\'; select 2", [r"select '\'", "select 2"]),
    (r"select E'\'; '; select 2", [r"select E'\'; '", "select 2"]),
    (r"select e'\\'; select 2", [r"select e'\\'", "select 2"]),
    (r"select nameE'\'; select 2", [r"select nameE'\'", "select 2"]),
    (r"select U&'\'; select 2", [r"select U&'\'", "select 2"]),
    ('select ";"; select 2', ['select ";"', "select 2"]),
    ('select "a"";"; select 2', ['select "a"";"', "select 2"]),
    ("do $$ begin; end $$; select 2", ["do $$ begin; end $$", "select 2"]),
    ("do $x$ $$; $y$; $x$; select 2", ["do $x$ $$; $y$; $x$", "select 2"]),
    ("select $$a$$$$;$$; select 2", ["select $$a$$$$;$$", "select 2"]),
    ("select a$b$; select c$b$", ["select a$b$", "select c$b$"]),
    ("select a$$; select 2", ["select a$$", "select 2"]),
    ("select $1; select $2", ["select $1", "select $2"]),
    ("select 1 -- one; two\n; select 2", ["select 1 -- one; two", "select 2"]),
    ("select 1 /* a; /* b; */ c; */; select 2", ["select 1 /* a; /* b; */ c; */", "select 2"]),
    ("-- only a comment\n; /* and another */", []),
    ("-- first\nselect 1; -- last", ["-- first\nselect 1"]),
    ("select 4 - -1 / 2 * 3; select 2", ["select 4 - -1 / 2 * 3", "select 2"]),
    ("create rule r as on insert to t do also (select 1; select 2); select 3",
     ["create rule r as on insert to t do also (select 1; select 2)", "select 3"]),
    (f"{ROUTINE}; select 3", [ROUTINE, "select 3"]),
    ("create table begin_log (i int); select 1", ["create table begin_log (i int)", "select 1"]),
    ("begin; select 1; end; select 2", ["begin", "select 1", "end", "select 2"]),
    ("select 'open; select 2", ["select 'open; select 2"]),
    ("select 1; /* open; select 2", ["select 1", "/* open; select 2"]),
    ("select $a$ open; select 2", ["select $a$ open; select 2"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_semicolon_ends_a_statement_only_where_the_database_says_so(text, expected):
    assert expected == split(text)


ATOMS = ["'", '"', "$$", "$a$", "$", ";", "--", "/*", "*/", "\n", " ", "(", ")", "e", "E'", "\\",
         "x", "1", "create function ", "begin ", "end ", "case "]  # fmt: skip


@given(st.lists(st.sampled_from(ATOMS) | st.characters(), max_size=60).map("".join))
def test_the_pieces_joined_are_the_text(text):
    assert text == "".join(piece.text for piece in pieces(text))


@given(st.lists(st.sampled_from(ATOMS), max_size=40).map("".join))
def test_a_statement_is_not_split_further(text):
    for statement in split(text):
        assert split(statement) == [statement]


@given(st.lists(st.sampled_from([c[0] for c in CASES if "open" not in c[0]]), max_size=5))
def test_statements_split_the_same_among_others(texts):
    expected = [statement for text in texts for statement in split(text)]

    assert expected == split("\n;\n".join(texts))


@pytest.mark.parametrize(
    "text",
    ["'" * 400_001, "$a" * 200_000, "$" * 400_000, "/*" * 200_000, "-- a\n" * 100_000,
     "(" * 400_000, "E'\\" * 100_000, "insert into t values (1, 'a;b');\n" * 20_000,
     "create function f() begin atomic " + "select 1; " * 50_000],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_long_texts_take_time_in_proportion(text):
    began = time.perf_counter()
    split(text)

    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- c\nVacuum  full t", ["VACUUM", "FULL", "T"]),
        ("insert into t values ('returning')", ["INSERT", "INTO", "T", "VALUES"]),
        ("insert into t select e'\\' returning' returning i",
         ["INSERT", "INTO", "T", "SELECT", "RETURNING", "I"]),
        ('select "returning" from a$b', ["SELECT", "FROM", "A$B"]),
    ],
)  # fmt: skip
def test_words_are_bare_words_only(text, expected):
    assert expected == list(words(text))


def test_a_head_is_one_line_without_values():
    statement = "-- why\nINSERT INTO\n  users (name)\nVALUES ('secret')"

    assert head(statement) == "INSERT INTO users (name) VALUES ("
    assert len(head("select " + "x, " * 100)) <= 63


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("t", ("t",)),
        ("public.t", ("public", "t")),
        ('"My Schema"."a.b"', ("My Schema", "a.b")),
        ('s."say ""hi"""', ("s", 'say "hi"')),
        (" s . t ", ("s", "t")),
        ("my table", ("my table",)),
    ],
)
def test_a_name_has_parts(name, expected):
    assert expected == name_parts(name)
    assert name_parts(quoted(*expected)) == expected


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", '"a', 'a"b"'])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(BadNameError):
        name_parts(name)
