"""The embedded family's tokenizer: phrases and words are one token each, everything else falls back to bytes.

Byte-level BPE without merges: a pre-tokenizer cuts the text into recurrent phrases, words with or without a leading
space, and single characters; a piece that stands in the vocabulary is one token, any other piece becomes its bytes. So
any text survives encoding and decoding, and the digits and capitals of random strings are single tokens.
"""

import re
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TURN_USER = "<|im_start|>user "
TURN_ASSISTANT = "<|im_end|><|im_start|>assistant\n"
END = "<|im_end|>"
IMAGE = "<image>"
VIDEO = "<video>"
PAD = "<|pad|>"

# A word in lower case or capitalised, a single capital, a single digit, spaces, anything else: one character each.
_WORD = r" ?[A-Z]?[a-z]+| ?[A-Z]|\d|\s|[^\sA-Za-z\d]"


def _byte_characters() -> dict[int, str]:
    """The printable stand-in that byte-level BPE uses for each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + rank) for rank, byte in enumerate(hidden)}


def _alternatives(texts: Iterable[str]) -> list[str]:
    """Longest first, so that a phrase wins over its own beginning."""
    return sorted(set(texts), key=lambda text: (-len(text), text))


def _phrase_pattern(phrase: str) -> str:
    """Match ``phrase`` only where it does not cut a word or a number in two."""
    head = r"(?<![A-Za-z\d])" if phrase[:1].isalnum() else ""
    tail = r"(?![A-Za-z\d])" if phrase[-1:].isalnum() else ""
    return head + re.sub(r"([^A-Za-z0-9\s])", r"\\\1", phrase) + tail


def build_tokenizer(phrases: Iterable[str], words: Iterable[str]) -> PreTrainedTokenizerFast:
    """Build the tokenizer of the embedded family, offline.

    Args:
        phrases: whole recurrent strings (they may hold spaces, newlines and punctuation), one token each.
        words: single words, one token each with and without a leading space.

    Returns:
        A fast tokenizer that restores every text it encodes; ``<|im_end|>`` is the end-of-sequence token.
    """
    words = sorted({word.strip() for word in words if word.strip()})
    phrases = _alternatives(phrase for phrase in phrases if phrase.strip())
    simple = re.compile(rf"(?:{_WORD})\Z")
    odd = [word for word in words if not simple.match(word)]  # words the general rule would cut
    pattern = "|".join(
        [*map(_phrase_pattern, phrases), *(" ?" + _phrase_pattern(w) for w in _alternatives(odd)), _WORD]
    )
    characters = _byte_characters()

    def spelled(text: str) -> str:
        return "".join(characters[byte] for byte in text.encode())

    pieces = [characters[byte] for byte in range(256)]
    capitals = [f" {chr(letter)}" for letter in range(ord("A"), ord("Z") + 1)]
    pieces += [spelled(text) for text in [*capitals, *phrases, *words, *(f" {word}" for word in words)]]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    special = [PAD, TURN_USER, TURN_ASSISTANT, END, IMAGE, VIDEO]
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        bos_token=None,
        unk_token=None,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=4096,
        extra_special_tokens={"image_token": IMAGE, "video_token": VIDEO},
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The id of a single token."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{% if not loop.last %}{{ '<|im_end|>' }}{% endif %}"
    "{% else %}"
    "{{ '<|im_start|>user ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}"
    "{% if not loop.last or add_generation_prompt %}{{ '<|im_end|><|im_start|>assistant\n' }}{% endif %}"
    "{% endif %}"
    "{% endfor %}"
)
