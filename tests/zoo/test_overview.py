"""The table of all models: what stands in it, how it is sorted, and what the cache weighs as published."""

import pytest
from click.testing import CliRunner

from course_lib import zoo
from course_lib.cli import main
from course_lib.zoo.catalogue import CLOSED
from course_lib.zoo.overview import ORDERS, as_table, in_units, plot_zoo, row, rows

MIB, GIB = 2**20, 2**30
FEW = ["bert-base-uncased", "gpt2", "llama-2-70b", "mistral-7b", "t5-small"]
# In 16 bits: 2 · layers · heads of keys · width of a head · tokens · 2 bytes.
CACHES = [
    ("llama-2-7b", 4096, 2 * GIB),
    ("llama-2-13b", 4096, 3.125 * GIB),
    ("llama-2-70b", 4096, 1.25 * GIB),  # 10 GiB, had it as many heads of keys as of queries
    ("llama-3-8b", 8192, GIB),
    ("gpt3-175b", 2048, 9 * GIB),
    ("gpt2", 1024, 36 * MIB),
    ("gpt2", 4096, 36 * MIB),  # it has positions for no more
    ("mistral-7b", 4096, 512 * MIB),
    ("mistral-7b", 32768, 512 * MIB),  # its window holds no more
    ("t5-small", 512, 12 * MIB),  # the target's, and the source's
    ("bart-base", 1024, 2 * 36 * MIB / 2),  # of six layers
    ("bert-base-uncased", 512, 0),
    ("gpt2", 0, 0),
]


@pytest.mark.parametrize(("name", "length", "expected"), CACHES)
def test_the_cache_is_as_large_as_published(name, length, expected):
    assert row(name, length).cache == expected


def test_a_row_says_what_the_configuration_says():
    t5 = row("t5-3b", 100)
    assert (t5.family, t5.layers, t5.d_model) == ("encoder-decoder", (24, 24), 1024)
    assert (t5.num_heads, row("llama-3-8b", 1).num_kv_heads, t5.num_kv_heads) == (32, 8, 32)
    assert (t5.d_ff, t5.vocab_size, t5.parameters) == (16384, 32128, zoo.count_parameters("t5-3b"))
    assert (row("gpt2", 1).layers, row("gpt2", 1).family) == ((0, 12), "decoder-only")
    assert (row("deberta-base", 1).layers, row("deberta-base", 1).family) == ((12, 0), "encoder-only")
    with pytest.raises(ValueError, match="length must be at least 0, got -1"):
        row("gpt2", -1)


ORDERED = {
    "family": ["bert-base-uncased", "gpt2", "llama-2-70b", "mistral-7b", "t5-small"],
    "name": sorted(FEW),
    "layers": ["bert-base-uncased", "gpt2", "t5-small", "mistral-7b", "llama-2-70b"],
    "width": ["t5-small", "bert-base-uncased", "gpt2", "mistral-7b", "llama-2-70b"],
    "heads": ["t5-small", "bert-base-uncased", "gpt2", "mistral-7b", "llama-2-70b"],
    "vocabulary": ["bert-base-uncased", "llama-2-70b", "mistral-7b", "t5-small", "gpt2"],
    "parameters": ["t5-small", "bert-base-uncased", "gpt2", "mistral-7b", "llama-2-70b"],
    "cache": ["bert-base-uncased", "gpt2", "t5-small", "mistral-7b", "llama-2-70b"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_table_can_be_sorted(order):
    assert [one.name for one in rows(4096, order, FEW)] == ORDERED[order]


def test_all_models_are_in_the_table_if_none_is_asked_for():
    assert sorted(one.name for one in rows(1)) == sorted(zoo.names())


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "–"), (1, "1 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (36 * MIB, "36 MiB"), (3355443200, "3.125 GiB")],
)
def test_bytes_are_written_for_people(count, text):
    assert in_units(count) == text


def test_the_figure_has_a_mark_for_each_model_and_none_for_a_cache_that_is_not_there():
    found = rows(4096, "parameters", FEW)
    figure = plot_zoo(found, 4096)
    sizes, caches = figure.axes
    assert [label.get_text() for label in sizes.get_yticklabels()] == [one.name for one in found]
    assert sum(len(line.get_xdata()) for line in sizes.lines) == len(FEW)
    assert sum(len(line.get_xdata()) for line in caches.lines) == len(FEW) - 1
    assert "4,096" in caches.get_xlabel()
    with pytest.raises(ValueError, match="needs at least one model"):
        plot_zoo([], 1)


def test_the_command_prints_every_model_and_says_what_is_closed(tmp_path):
    options = ["--sort", "parameters", "--length", "1024", "--figure", f"{tmp_path}/zoo.png"]
    done = CliRunner().invoke(main, ["zoo", *options])
    assert done.exit_code == 0, done.output
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert lines[1] == "all-minilm-l6-v2"
    assert set(zoo.names()) <= set(lines)
    assert {f"{name}:" for name in CLOSED} <= set(lines)
    assert "12 + 12" in done.stdout
    assert "64 (8)" in done.stdout
    assert (tmp_path / "zoo.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sort", "size"], f"The table can be sorted by {', '.join(ORDERS)}; got 'size'."),
        (["--figure", "no/such/folder.png"], "The figure could not be written to no/such/folder.png ("),
        (["--figure", "zoo.doc"], "The figure could not be written to zoo.doc (Format 'doc' is not supported"),
    ],
)
def test_the_command_says_in_a_sentence_what_it_cannot_do(options, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("course_lib.zoo.overview.names", lambda: ["gpt2"])
    done = CliRunner().invoke(main, ["zoo", *options])
    assert done.exit_code == 1
    assert said in done.output


def test_a_table_has_a_row_for_each_model():
    table = as_table(rows(1, which=FEW), 1)
    assert table.row_count == len(FEW)
    assert [column.header for column in table.columns][-1] == "cache at 1"
