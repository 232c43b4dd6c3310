"""Writes the tokens that Python's tokenizers finds in tricky texts.

pip install tokenizers==0.23.3
python make_text.py PATH/TO/all-minilm-l6-v2/tokenizer.json

minilm.json: with the tokenizer given, at 256 tokens. tiny_tokenizer.json: a WordPiece tokenizer of
some thirty words whose truncation and padding sections are there to be overridden. tiny.json: the same texts with it.
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = pathlib.Path(__file__).parent

TEXTS = [
    "",
    " ",
    "\n\t  \r\n",
    "the cat sat on the mat",
    "The Cat SAT on the MAT.",
    "This is an example sentence",
    "Each sentence is converted",
    "don't can't won't it's",
    "state-of-the-art, e.g. U.S.A.; 3.14159 (approx.) [sic] {x} <y> 50% #tag @user $9.99",
    "https://example.org/a/b?c=d&e=f#g",
    "someone@example.org",
    "ALLCAPS MixedCase camelCase snake_case",
    "café naïve résumé Ångström façade",
    "cafe\u0301 nai\u0308ve (decomposed)",
    "Straße GROẞ ß ſ",
    "İstanbul ıstanbul I\u0307",
    "Ελληνικά κείμενο ΣΊΣΥΦΟΣ",
    "Привет, мир! Ёлка",
    "שלום עולם",
    "مرحبا بالعالم",
    "हिन्दी में लिखा हुआ",
    "ไม่มีช่องว่าง",
    "你好，世界！",
    "日本語のテキスト、カタカナとひらがな",
    "한국어 문장입니다",
    "中英mixed文字text",
    "Ａｆｕｌｌｗｉｄｔｈ　ｔｅｘｔ",
    "😀",
    "👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪",
    "nice 😊😊 day ❤️!!!",
    "\u200bzero\u200bwidth\u200cjoin\u200d",
    "\ufeffbyte order mark",
    "soft\u00adhyphen non\u00a0breaking\u202fspaces\u2003em\u3000ideographic",
    "control\u0000null\u0001one\u007fdelete\u0085next",
    "bell\u0007 escape\u001b[31m backspace\u0008",
    "replacement \ufffd character",
    "private \ue000 use \U0010fffd",
    "unassigned \u0378 \U000e0fff",
    "line\nbreaks\r\nand\ttabs\u2028separators\u2029",
    "quotes “curly” ‘single’ «guillemets» „low“ `tick`",
    "dashes - – — ― −",
    "ellipsis… three... dots",
    "math ∑ ∫ √2 ≤ π × 10⁻⁵ ½ ² ℝ",
    "currency € £ ¥ ₹ ₿",
    "ligatures ﬁ ﬂ ﬃ Ĳ ǆ",
    "combining: a\u0300\u0301\u0302\u0303 z\u0351\u0343\u0342 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A",
    "[CLS] literal [SEP] special [MASK] tokens [PAD] [UNK]",
    "[cls] lower [Sep] case",
    "<s> </s> <pad> ##wordpiece ## ##ing",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "a" * 300 + " b",
    "the " * 126 + "end",
    "the " * 127 + "end",
    "the " * 254 + "cat sat",
    "the cat sat on the mat " * 400,
    "日本" * 300,
    "." * 400,
    "x y z " * 50 + "\u00e9" * 50,
]


def tiny():
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on mat this is an example sentence each converted".split()
    words += ["##s", "##ing", "##ed", "a", "b", "##a", "don", "'", "t", ".", ",", "!", "caf", "##e", "日", "本", "[", "]"]
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(words[:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    return tokenizer


def encode(tokenizer, max_length):
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    encodings = [tokenizer.encode(text) for text in TEXTS]
    return {
        "max_length": max_length,
        "cases": [
            {"text": text, "ids": encoding.ids, "truncated": bool(encoding.overflowing)}
            for text, encoding in zip(TEXTS, encodings)
        ],
    }


def write(name, value):
    lines = ",\n".join(json.dumps(case) for case in value["cases"])
    (HERE / name).write_text(f'{{"max_length": {value["max_length"]}, "cases": [\n{lines}\n]}}\n')


def main():
    tokenizer = tiny()
    (HERE / "tiny_tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n")
    write("tiny.json", encode(tokenizer, 32))
    if len(sys.argv) > 1:
        write("minilm.json", encode(Tokenizer.from_file(sys.argv[1]), 256))


main()
