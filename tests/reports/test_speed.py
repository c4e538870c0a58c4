"""The bench's tables."""

from tests.records.benches import entry, record, timing
from visor_eval.records.bench import Phase
from visor_reports.speed import speed_markdown, speed_tables, speed_text


def timed(method, tokens, seconds, flops, configuration=None):
    phases = [
        timing(Phase.REDUCER, (0.02,) * 3, 0, 0),
        timing(Phase.PREFILL, (seconds,) * 3, flops, flops),
        timing(Phase.DECODE, (0.05,) * 3, 10, 10),
    ]
    return entry(method, tokens, configuration, phases)


def both():
    return record(timed("dense", 1458, 8.0, 800), timed("visor", 1458, 1.0, 80, (1, 4)))


def test_numbers_of_the_prefill_table():
    prefill = speed_tables(both())[0]
    cells = {column.header: cell for column, cell in zip(prefill.columns, prefill.rows[1].cells, strict=True)}
    assert cells["method"].value == "visor [1, 4]"
    assert cells["ms"].value == 1000
    assert cells["measured"].value == 8
    assert cells["predicted"].value == 10
    assert cells["realised"].value == 0.8


def test_phases_that_were_not_timed_have_no_table():
    titles = [table.title for table in speed_tables(both())]
    assert any(title.startswith("Decode") for title in titles)
    assert not any("nd to end" in title for title in titles)


def test_growth_stands_last_where_three_images_were_measured():
    images = [timed("dense", tokens, tokens / 1000, tokens) for tokens in (729, 1458, 3645)]
    assert speed_tables(record(*images))[-1].name == "bench-growth"
    assert all(table.name != "bench-growth" for table in speed_tables(both()))


def test_text_and_markdown_say_what_was_run_on_what():
    for text in (speed_text(both()), speed_markdown(both())):
        assert "llava-ov-0.5b (24 decoder layers, random weights)" in text
        assert "packed kernels" in text
    assert "Provenance" in speed_markdown(both())
    assert "visor-eval bench" in speed_markdown(both())
