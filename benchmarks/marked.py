"""The part of a page that a benchmark writes."""

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def written_into(text: str, measured: str) -> str:
    """``text`` with ``measured`` between its two marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{measured}{END}{rest.partition(END)[2]}"
