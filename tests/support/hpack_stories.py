"""Stories of header blocks, in the format of hpack-test-case, by Python's hpack.

usage: hpack_stories.py write SEED   stories that its encoder wrote, a JSON array, to standard output
       hpack_stories.py read         reads such an array from standard input and decodes it; what is
                                     decoded must be what each story says

Exit status: 0 done, 1 a block was not what its story says, 3 Python has no hpack.
"""

import json
import random
import sys

try:
    import hpack
except ImportError:
    print("Python has no hpack")
    sys.exit(3)

NAMES = [":path", ":authority", "accept", "cookie", "user-agent", "x-request-id", "etag", "referer",
         "accept-language", "x-a", "x-a-name-that-stands-in-no-table"]
LETTERS = [chr(code) for code in range(33, 127)] + [" ", "\x80", "\xff"]


def value(chance):
    """Short, long, often the same; and sometimes longer than the table."""
    kind = chance.random()
    if kind < 0.5:
        return chance.choice(["/", "*/*", "a=b", "", "gzip, br", "https://example.com/a?b=c"])
    length = chance.randrange(60) if kind < 0.97 else chance.randrange(3000, 5000)
    return "".join(chance.choices(LETTERS, k=length)).strip()


def write(seed):
    chance = random.Random(seed)
    stories = []
    for number in range(60):
        encoder = hpack.Encoder()
        cases = []
        for seqno in range(chance.randrange(1, 25)):
            # A server that lowers its table is obeyed by a size update; ours leaves it at 4,096.
            if chance.random() < 0.15:
                encoder.header_table_size = chance.choice([0, 1, 64, 256, 1024, 4095, 4096])
            headers = [hpack.HeaderTuple(":method", chance.choice(["GET", "POST", "OPTIONS"])),
                       hpack.HeaderTuple(":scheme", "https")]
            for _ in range(chance.randrange(14)):
                make = hpack.NeverIndexedHeaderTuple if chance.random() < 0.1 else hpack.HeaderTuple
                headers.append(make(chance.choice(NAMES), value(chance)))
            raw = [type(one)(*(part.encode("latin-1") for part in one)) for one in headers]
            wire = encoder.encode(raw, huffman=chance.random() < 0.7)
            cases.append({"seqno": seqno, "header_table_size": encoder.header_table_size,
                          "wire": wire.hex(), "headers": [{name: text} for name, text in headers]})
        stories.append({"description": f"Python's hpack, story {number} of seed {seed}", "cases": cases})
    json.dump(stories, sys.stdout)


def read():
    for story in json.load(sys.stdin):
        decoder = hpack.Decoder(max_header_list_size=1 << 20)
        for case in story["cases"]:
            where = (story["description"], case["seqno"])
            if case["header_table_size"] != decoder.max_allowed_table_size:
                decoder.max_allowed_table_size = case["header_table_size"]
            decoded = decoder.decode(bytes.fromhex(case["wire"]), raw=True)
            decoded = [{name.decode("latin-1"): text.decode("latin-1")} for name, text in decoded]
            if decoded != case["headers"]:
                print(where, decoded, case["headers"], sep="\n")
                sys.exit(1)
    print("all is well")


if sys.argv[1] == "write":
    write(int(sys.argv[2]))
else:
    read()
