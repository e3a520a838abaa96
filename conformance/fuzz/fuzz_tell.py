"""Coverage-guided fuzzing of `streamfmt show --recipe`: what any octets are told as makes the same octets again."""

from streamfmt.fuzz.harness import instrumented, main

with instrumented():
    from streamfmt.api import DamagedError, feeding
    from streamfmt.reader.sources import compressed
    from streamfmt.writer.dumping import head
    from streamfmt.writer.recipes import load
    from streamfmt.writer.telling import Teller


def one(octets: bytes) -> None:
    """What is compressed is told as what lies in it."""
    lines: list[str] = []
    teller = Teller(lines.append, pages=len(octets))
    try:
        with feeding(octets, teller.reader) as feed:
            feed.drive(teller)
    except DamagedError:
        return
    teller.end()
    made = load(head(broken=teller.broken) + "".join(lines)).stream.render()
    assert teller.lost or compressed(octets) or made == octets


if __name__ == "__main__":
    main(one)
